//! From a claim to the end of the work under it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use super::job::Work;
use super::judgement::log_end;
use super::lease::{Lease, lock};
use super::work::{Course, Ended};
use super::{Processor, intake};
use crate::consumer::Delivery;
use crate::failpoint;
use crate::mailer::Letterhead;
use crate::policy::Plan;
use crate::repository::{self, Claim, Start, Starting};

impl Processor {
    /// Works a claimed dispatch off. An error says why it cannot be worked off by this program at all.
    pub(super) async fn work_off(
        &self,
        claim: Claim,
        delivery: Option<&Arc<Delivery>>,
        began: Instant,
    ) -> Result<Ended, String> {
        let Claim {
            dispatch,
            token,
            plan,
            created_at,
            starts,
        } = claim;
        let lease = self
            .engine
            .leases
            .hold(dispatch, token, delivery.map(Arc::clone), began);
        let prepared = Plan::from_text(&plan)
            .map_err(|e| e.to_string())
            .and_then(|plan| Ok((intake::compose(&self.engine, &plan, created_at.and_utc())?, plan)));
        let (composer, plan) = match prepared {
            Ok(prepared) => prepared,
            Err(why) => {
                self.engine.give_back(&lease).await;
                return Err(why);
            }
        };
        let event_id = plan.facts.event_id().expect("later");
        let kind = plan.facts.kind().as_str();
        let starting = self.engine.starting(&lease);
        let start = self.engine.look(starting).await;
        if start == Start::Exhausted {
            return Ok(self.give_up(&lease, starting).await);
        }
        // One at a time: what ends the process is then known.
        let _alone = match start {
            Start::Quarantined => Some(self.engine.quarantine.lock().await),
            _ => None,
        };
        if !self.engine.begin(starting, start).await {
            self.engine.give_back(&lease).await;
            return Ok(Ended::LeaseLost);
        }
        failpoint::reached_for("s2-begun", &event_id);
        tracing::info!(dispatch.id = %dispatch, event.id = %event_id, kind = kind, start = starts, "dispatch started");
        let (done, committed) = mpsc::unbounded_channel();
        let work = Arc::new(Work {
            lease,
            letterhead: Letterhead::new(&plan.identity, composer.subject()),
            composer,
            event_id: event_id,
            identity: plan.identity,
            unsubscribe_url: self.engine.unsubscribe_url.clone(),
            marked: starting.hold || start == Start::Quarantined,
            quarantined: start == Start::Quarantined,
            fruitful: AtomicBool::new(false),
            done,
        });
        let (ending, ended) = watch::channel(false);
        lock(&self.endings).insert(dispatch, ended);
        let _in_work = InWork {
            processor: self,
            lease: Arc::clone(&work.lease),
            ending,
        };
        let ended = Course::new(Arc::clone(&self.engine), work, committed)
            .run(&self.stop)
            .await;
        log_end(dispatch, &ended, began);
        Ok(ended)
    }

    /// Closes a dispatch that nothing came of.
    async fn give_up(&self, lease: &Lease, starting: Starting) -> Ended {
        let given_up = self
            .engine
            .db
            .write(move |conn| repository::give_up(conn, starting))
            .await;
        failpoint::reached("given-up");
        match given_up {
            Ok(starts) => {
                self.engine.leases.drop_lease(lease);
                Ended::Exhausted(starts)
            }
            Err(error) => {
                tracing::warn!(dispatch.id = %lease.dispatch, %error, "cannot close an exhausted dispatch");
                self.engine.give_back(lease).await;
                Ended::LeaseLost
            }
        }
    }
}

/// A dispatch in work. However that ends, a panic included, nobody beats for it any more and whoever waits
/// for its end is told.
struct InWork<'a> {
    processor: &'a Processor,
    lease: Arc<Lease>,
    ending: watch::Sender<bool>,
}

impl Drop for InWork<'_> {
    fn drop(&mut self) {
        self.processor.engine.leases.drop_lease(&self.lease);
        let mut endings = lock(&self.processor.endings);
        let dispatch = self.lease.dispatch;
        if endings
            .get(&dispatch)
            .is_some_and(|other| other.same_channel(&self.ending.subscribe()))
        {
            endings.remove(&dispatch);
        }
        let _ = self.ending.send(true);
    }
}
