//! From a claim to the end of the work under it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use super::Processor;
use super::compose::MAX_ERROR;
use super::enclosing::Hindrance;
use super::job::{Routes, Work};
use super::judgement::log_end;
use super::lease::{Lease, lock};
use super::planning::{self, Unready};
use super::telling::tell_end;
use super::work::{Course, Ended};
use crate::consumer::Delivery;
use crate::domain::{EventId, TenantId, one_line};
use crate::failpoint;
use crate::policy::Plan;
use crate::render::Composer;
use crate::repository::{self, Claim, GivenUp, Parking, Start, Starting};

/// Seconds until a dispatch whose configuration is wrong is looked at again.
const SET_ASIDE: i64 = 15;

/// The longest until one is that waits for its attachments.
const LONGEST_ASIDE: chrono::Duration = chrono::Duration::minutes(15);

/// Longest order id in a log line, in characters.
const MAX_ID: usize = 80;

impl Processor {
    /// Works a claimed dispatch off. An error says why it cannot be worked off by this program at all.
    pub(super) async fn work_off(
        &self,
        claim: Claim,
        delivery: Option<&Arc<Delivery>>,
        began: Instant,
    ) -> Result<Ended, String> {
        let (dispatch, starts, held_back) = (claim.dispatch, claim.starts, claim.held_back);
        let delivered = delivery.map(Arc::clone);
        let lease = self.engine.leases.hold(dispatch, claim.token, delivered, began);
        let Prepared {
            plan,
            composer,
            routes,
            weight,
        } = match self.prepare(&claim).await {
            Ok(prepared) => prepared,
            Err(Unprepared::Waits(why)) => return Ok(self.misconfigured(&lease, why).await),
            Err(Unprepared::Never(why)) => {
                self.engine.give_back(&lease).await;
                return Err(why);
            }
        };
        let possible = routes.all().any(|route| route.closed_for().is_none());
        let starting = self.engine.starting(&lease, possible);
        let start = self.engine.look(starting).await;
        if start == Start::Exhausted {
            let exhausted = GivenUp::Exhausted;
            return Ok(self.give_up(&lease, starting, exhausted, (&plan, &claim)).await);
        }
        // One at a time: what ends the process is then known.
        let _alone = match start {
            Start::Quarantined => tokio::select! {
                biased;
                alone = self.engine.quarantine.lock() => Some(alone),
                between = self.interruption(&lease) => return Ok(self.give_way(&lease, between).await),
            },
            _ => None,
        };
        if !self.engine.begin(starting, start).await {
            self.engine.give_back(&lease).await;
            return Ok(Ended::LeaseLost);
        }
        // Behind the start, which settles what an earlier one left in the middle of a handover.
        let mut room = None;
        let letterhead = match self.letterhead(&lease, &plan, &composer).await {
            Ok((letterhead, kept)) => {
                room = kept;
                Ok(letterhead)
            }
            Err(Hindrance::Ended(ended)) => return Ok(ended),
            Err(Hindrance::Later(why)) => return Ok(self.without_files(&lease, why, &claim).await),
            Err(Hindrance::ForGood(why)) if delivery.is_some() => {
                let why = GivenUp::Attachment(why);
                return Ok(self.give_up(&lease, starting, why, (&plan, &claim)).await);
            }
            // There is no message left to become a dead letter: everybody's row says it.
            Err(Hindrance::ForGood(why)) => Err(GivenUp::Attachment(why).to_text()),
        };
        let (event, order) = (plan.facts.event_id(), plan.facts.order_id());
        failpoint::reached_for("s2-begun", &event.map_or(0, EventId::get));
        tracing::info!(
            dispatch.id = %dispatch,
            event.id = event.map(EventId::get),
            order.id = order.map(|id| one_line(id.as_str(), MAX_ID)),
            tenant.id = plan.tenant.as_ref().map(TenantId::as_str),
            kind = plan.facts.kind().as_str(),
            start = starts,
            "dispatch started"
        );
        let running = self.engine.tell_start(&plan, &claim).await;
        let (done, committed) = mpsc::unbounded_channel();
        let work = Arc::new(Work {
            lease,
            letterhead,
            _room: room,
            composer,
            config: self.engine.delivery_of(&plan),
            plan,
            held_back,
            weight,
            routes,
            swept: delivery.is_none(),
            unsubscribe_url: self.engine.email.unsubscribe_url.clone(),
            sheaf: self
                .engine
                .archive
                .as_ref()
                .map(|archive| archive.recorder.open(dispatch, starts)),
            marked: starting.hold || start == Start::Quarantined,
            quarantined: start == Start::Quarantined,
            fruitful: AtomicBool::new(false),
            running: Arc::clone(&running),
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
        tell_end(&running, &ended);
        Ok(ended)
    }

    /// What the work on a claimed dispatch needs besides its lease.
    async fn prepare(&self, claim: &Claim) -> Result<Prepared, Unprepared> {
        let plan = Plan::from_text(&claim.plan).map_err(|e| Unprepared::Never(e.to_string()))?;
        let created_at = claim.created_at.and_utc();
        let made = planning::compose(&self.engine.templates, &plan, created_at, claim.held_back).await;
        let composer = made.map_err(|unready| match unready {
            Unready::Configuration(why) => Unprepared::Waits(why),
            Unready::Program(why) => Unprepared::Never(why),
        })?;
        let engine = Arc::clone(&self.engine);
        // It reads files.
        let find = move || {
            let routes = engine.routes(&plan).map_err(Unprepared::Waits)?;
            let weight = engine.tenants.weight(plan.tenant.as_ref());
            Ok((plan, routes, weight))
        };
        let found = tokio::task::spawn_blocking(find).await;
        let (plan, routes, weight) = found.map_err(|e| Unprepared::Never(e.to_string()))??;
        Ok(Prepared {
            plan,
            composer,
            routes,
            weight,
        })
    }

    /// What the dispatch needs is wrongly configured now: it waits in the ledger until that is mended, and says
    /// why.
    async fn misconfigured(&self, lease: &Lease, why: String) -> Ended {
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
    async fn without_files(&self, lease: &Lease, why: String, claim: &Claim) -> Ended {
        let why = one_line(&format!("waits for its attachments: {why}"), MAX_ERROR);
        let age = (self.engine.now)().naive_utc() - claim.created_at;
        let wait = (age / 4).clamp(chrono::Duration::seconds(SET_ASIDE), LONGEST_ASIDE);
        tracing::warn!(dispatch.id = %lease.dispatch, error = why, wait = %wait, "a dispatch waits for its attachments");
        let parking = Parking { why: Some(why), wait };
        self.engine.park(lease, parking).await
    }

    /// Closes a dispatch that nothing will come of.
    async fn give_up(
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

struct Prepared {
    plan: Plan,
    composer: Composer,
    routes: Routes,
    weight: f64,
}

/// Why a claimed dispatch is not worked on.
enum Unprepared {
    /// Not before somebody mends a configuration.
    Waits(String),
    /// Not by this program.
    Never(String),
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
