//! From a claim to the end of the work under it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tokio::sync::{MutexGuard, OwnedSemaphorePermit, mpsc, watch};

use super::Processor;
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
use crate::mailer::Letterhead;
use crate::policy::Plan;
use crate::render::Composer;
use crate::repository::{Claim, GivenUp, Start, Starting};

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
        let dispatch = claim.dispatch;
        let delivered = delivery.map(Arc::clone);
        let lease = self.engine.leases.hold(dispatch, claim.token, delivered, began);
        let prepared = match self.prepare(&claim).await {
            Ok(prepared) => prepared,
            Err(Unprepared::Waits(why)) => return Ok(self.misconfigured(&lease, why).await),
            Err(Unprepared::Never(why)) => {
                self.engine.give_back(&lease).await;
                return Err(why);
            }
        };
        let started = self.begin(&lease, &prepared, &claim, delivery.is_some()).await;
        let Started {
            start,
            starting,
            letterhead,
            room,
            _alone,
        } = match started {
            Ok(started) => started,
            Err(ended) => return Ok(ended),
        };
        let Prepared {
            plan,
            composer,
            routes,
            weight,
        } = prepared;
        log_start(&plan, &claim);
        let running = self.engine.tell_start(&plan, &claim).await;
        let (done, committed) = mpsc::unbounded_channel();
        let archive = self.engine.archive.as_ref();
        let sheaf = archive.map(|archive| archive.recorder.open(dispatch, claim.starts));
        let work = Arc::new(Work {
            lease,
            letterhead,
            _room: room,
            composer,
            config: self.engine.delivery_of(&plan),
            plan,
            held_back: claim.held_back,
            weight,
            routes,
            swept: delivery.is_none(),
            unsubscribe_url: self.engine.email.unsubscribe_url.clone(),
            sheaf: sheaf.clone(),
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
        if let Some(sheaf) = sheaf {
            sheaf.leave();
        }
        log_end(dispatch, &ended, began);
        tell_end(&running, &ended);
        Ok(ended)
    }

    /// Counts the start and comes by what is sent along, unless something else comes of the dispatch.
    async fn begin(
        &self,
        lease: &Lease,
        prepared: &Prepared,
        claim: &Claim,
        delivered: bool,
    ) -> Result<Started<'_>, Ended> {
        let Prepared {
            plan,
            composer,
            routes,
            ..
        } = prepared;
        let possible = routes.all().any(|route| route.closed_for().is_none());
        let starting = self.engine.starting(lease, possible);
        let start = self.engine.look(starting).await;
        if start == Start::Exhausted {
            let exhausted = GivenUp::Exhausted;
            return Err(self.give_up(lease, starting, exhausted, (plan, claim)).await);
        }
        // One at a time: what ends the process is then known.
        let alone = match start {
            Start::Quarantined => tokio::select! {
                biased;
                alone = self.engine.quarantine.lock() => Some(alone),
                between = self.interruption(lease) => return Err(self.give_way(lease, between).await),
            },
            _ => None,
        };
        if !self.engine.begin(starting, start).await {
            self.engine.give_back(lease).await;
            return Err(Ended::LeaseLost);
        }
        // Behind the start, which settles what an earlier one left in the middle of a handover.
        let (letterhead, room) = match self.letterhead(lease, plan, composer).await {
            Ok((letterhead, room)) => (Ok(letterhead), room),
            Err(Hindrance::Ended(ended)) => return Err(ended),
            Err(Hindrance::Later(why)) => return Err(self.without_files(lease, why, claim).await),
            Err(Hindrance::ForGood(why)) if delivered => {
                let why = GivenUp::Attachment(why);
                return Err(self.give_up(lease, starting, why, (plan, claim)).await);
            }
            // There is no message left to become a dead letter: everybody's row says it.
            Err(Hindrance::ForGood(why)) => (Err(GivenUp::Attachment(why).to_text()), None),
        };
        Ok(Started {
            start,
            starting,
            letterhead,
            room,
            _alone: alone,
        })
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
}

fn log_start(plan: &Plan, claim: &Claim) {
    let (event, order) = (plan.facts.event_id(), plan.facts.order_id());
    failpoint::reached_for("s2-begun", &event.map_or(0, EventId::get));
    tracing::info!(
        dispatch.id = %claim.dispatch,
        event.id = event.map(EventId::get),
        order.id = order.map(|id| one_line(id.as_str(), MAX_ID)),
        tenant.id = plan.tenant.as_ref().map(TenantId::as_str),
        kind = plan.facts.kind().as_str(),
        start = claim.starts,
        "dispatch started"
    );
}

/// A start that counts.
struct Started<'a> {
    start: Start,
    starting: Starting,
    letterhead: Result<Letterhead, String>,
    room: Option<OwnedSemaphorePermit>,
    /// Held in quarantine.
    _alone: Option<MutexGuard<'a, ()>>,
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
