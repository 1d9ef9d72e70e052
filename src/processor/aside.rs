//! A claimed dispatch that is not worked on: it waits in the ledger, or is given up.

use super::Processor;
use super::compose::MAX_ERROR;
use super::lease::Lease;
use super::work::Ended;
use crate::domain::one_line;
use crate::failpoint;
use crate::policy::Plan;
use crate::repository::{self, Claim, GivenUp, Parking, Start, Starting};

/// Seconds until a dispatch whose configuration is wrong is looked at again.
const SET_ASIDE: i64 = 15;

/// The longest until one is that waits for its attachments.
const LONGEST_ASIDE: chrono::Duration = chrono::Duration::minutes(15);

impl Processor {
    /// What the dispatch needs is wrongly configured now: it waits in the ledger until that is mended, and says
    /// why.
    pub(super) async fn misconfigured(&self, lease: &Lease, why: String) -> Ended {
        // It settles what an earlier start left in the middle of a handover.
        let starting = self.engine.starting(lease, false);
        if !self.engine.begin(starting, Start::Normal).await {
            self.engine.give_back(lease).await;
            return Ended::LeaseLost;
        }
        // It may repeat a file.
        let why = one_line(&why, MAX_ERROR);
        tracing::error!(dispatch.id = %lease.dispatch, error = why, "a dispatch waits until its configuration is mended");
        let parking = Parking {
            why: Some(why),
            wait: chrono::Duration::seconds(SET_ASIDE),
        };
        self.engine.park(lease, parking).await
    }

    /// Its files cannot be had now: it waits in the ledger, the longer the older it is, and says why.
    pub(super) async fn without_files(&self, lease: &Lease, why: String, claim: &Claim) -> Ended {
        let why = one_line(&format!("waits for its attachments: {why}"), MAX_ERROR);
        let age = (self.engine.now)().naive_utc() - claim.created_at;
        let wait = (age / 4).clamp(chrono::Duration::seconds(SET_ASIDE), LONGEST_ASIDE);
        tracing::warn!(dispatch.id = %lease.dispatch, error = why, wait = %wait, "a dispatch waits for its attachments");
        let parking = Parking { why: Some(why), wait };
        self.engine.park(lease, parking).await
    }

    /// Closes a dispatch that nothing will come of.
    pub(super) async fn give_up(
        &self,
        lease: &Lease,
        starting: Starting,
        why: GivenUp,
        (plan, claim): (&Plan, &Claim),
    ) -> Ended {
        let given = why.clone();
        let given_up = self
            .engine
            .db
            .write(move |conn| repository::give_up(conn, starting, &given))
            .await;
        failpoint::reached("given-up");
        let ended = match given_up {
            Ok(starts) => {
                self.engine.leases.drop_lease(lease);
                Ended::GivenUp(why, starts)
            }
            Err(error) => {
                tracing::warn!(dispatch.id = %lease.dispatch, %error, "a dispatch that is given up cannot be closed");
                self.engine.give_back(lease).await;
                Ended::LeaseLost
            }
        };
        self.engine.tell_given_up(plan, claim, &ended).await;
        ended
    }
}
