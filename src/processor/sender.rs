//! S4: the tasks that hand over, one for each connection. A job is taken only when a connection is ready
//! and a permit of W is free; the lease is looked at again right before the bytes that cannot be taken
//! back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::compose::compose;
use super::denials::{Denials, denial};
use super::job::{Done, How, Job, Ticket};
use super::lane::Lane;
use super::outcome::{Next, judge, log};
use super::way::{Open, Way, quit};
use crate::config::DeliveryConfig;
use crate::domain::EmailAddress;
use crate::failpoint;
use crate::mailer::{Breaker, Fault, FaultCause, Handover, Outlet, Parcel, Phase};
use crate::repository::{Entry, Outcome, Writer};

/// A connection that nothing was handed over on for so long takes its leave.
const IDLE: Duration = Duration::from_secs(30);

/// E-mails a second over all connections.
pub(super) type Rate = governor::DefaultDirectRateLimiter;

/// What all senders of a lane share.
pub(super) struct Senders {
    pub(super) lane: Arc<Lane>,
    pub(super) way: Way,
    pub(super) breaker: Arc<Breaker>,
    pub(super) denials: Denials,
    pub(super) rate: Option<Rate>,
    pub(super) permits: Arc<Semaphore>,
    pub(super) writer: Writer<Ticket>,
    pub(super) config: DeliveryConfig,
    pub(super) now: super::Clock,
    /// E-mails that the relay took.
    pub(super) passed: AtomicU64,
    /// Take nothing new.
    pub(super) stop: CancellationToken,
    /// Let go of what is under way.
    pub(super) abort: CancellationToken,
}

impl Senders {
    /// One connection's life: waits for work, connects, hands over, until told to stop.
    pub(super) async fn run(self: Arc<Self>) {
        let mut open = None;
        while let Some(ready) = self.stop.run_until_cancelled(self.ready(&mut open)).await {
            // Behind this point a job is ours, so a stop no longer cuts in.
            if let Some(permit) = ready
                && let Some(job) = self.lane.pop()
            {
                self.attend(&mut open, job, permit).await;
            }
            if open.as_ref().is_some_and(|o: &Open| o.refused) {
                quit(&mut open).await;
            }
            open = open.take().filter(|o| o.outlet.is_usable());
        }
        quit(&mut open).await;
    }

    /// Waits until there is work, a connection, and a permit of W.
    async fn ready(&self, open: &mut Option<Open>) -> Option<OwnedSemaphorePermit> {
        if tokio::time::timeout(IDLE, self.lane.wait()).await.is_err() {
            quit(open).await;
            return None;
        }
        self.breaker.wait().await;
        if open.as_ref().is_some_and(Open::is_worn) {
            quit(open).await;
        }
        if open.is_none() {
            match self.way.connect().await {
                Ok(outlet) => *open = Some(Open::new(outlet)),
                Err(fault) => {
                    self.lane.not_now();
                    self.breaker.failed(&fault);
                    return None;
                }
            }
        }
        if let Some(rate) = &self.rate {
            rate.until_ready().await;
        }
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// Looks after the lane while it is closed.
    pub(super) async fn probe(&self) {
        let relay = match &self.way {
            Way::Relay(relay) => Some(relay),
            Way::Dummy(_) => None,
        };
        self.breaker.probe(relay, &self.stop).await;
    }

    /// From a job to its outcome on the way into the ledger.
    async fn attend(&self, open: &mut Option<Open>, mut job: Job, permit: OwnedSemaphorePermit) {
        let Some(open) = open else {
            return self.lane.requeue(job);
        };
        if !job.work.lease.holds(Instant::now()) {
            return drop_job(&job);
        }
        if job.work.marked && !self.mark(&job).await {
            return drop_job(&job);
        }
        let (to, email) = match compose(&job) {
            Ok(composed) => composed,
            Err(error) => {
                return self.record(
                    job,
                    Outcome::Failed {
                        error,
                        attempted: false,
                    },
                    permit,
                );
            }
        };
        let Some(handover) = self.hand_over(&mut open.outlet, &job, &to, &email).await else {
            return drop_job(&job);
        };
        failpoint::reached("s4-after-reply");
        let lane_passes = self.observe(open, &mut job, &handover);
        let faults = (job.lane_faults, lane_passes);
        let now = (self.now)().naive_utc();
        let denied = denial(&handover).map(|reply| (job.again(), reply.clone()));
        match judge(handover, job.row.attempts, faults, &self.config, now) {
            Next::Record(outcome) => self.record(job, outcome, permit),
            Next::Requeue if self.stop.is_cancelled() => drop_job(&job),
            Next::Requeue => self.lane.requeue(job),
        }
        // Only now: the failure has to be in the ledger before it can be taken back.
        if let Some((job, reply)) = denied {
            let jobs = self.denials.denied(job);
            if !jobs.is_empty() {
                self.breaker.denied(&reply);
                for job in jobs {
                    self.take_back(job);
                }
            }
        }
    }

    /// What a handover says about the lane; returns whether others have passed since it first failed at
    /// this job.
    fn observe(&self, open: &mut Open, job: &mut Job, handover: &Handover) -> bool {
        let passed = self.passed.load(Ordering::Relaxed);
        open.handed += 1;
        let fault = match handover {
            Handover::Unsent(fault) => fault,
            Handover::Unknown(fault) => {
                self.breaker.failed(fault);
                return false;
            }
            _ => {
                open.proven = true;
                if denial(handover).is_none() {
                    self.passed.fetch_add(1, Ordering::Relaxed);
                    self.breaker.passed();
                }
                if matches!(handover, Handover::Accepted(_)) {
                    self.denials.accepted();
                }
                return false;
            }
        };
        tracing::debug!(notification.id = %job.row.id, %fault, "not handed over");
        if job.lane_faults == 0 {
            job.passed_then = passed;
        }
        job.lane_faults += 1;
        open.refused = open.outlet.is_usable();
        // A connection that broke while it lay idle says nothing about the relay.
        if !open.proven || open.refused || fault.reply().is_some() {
            self.breaker.failed(fault);
        }
        passed > job.passed_then
    }

    /// `None`: nothing happened, because the lease or the time to stop took it back.
    async fn hand_over(
        &self,
        outlet: &mut Outlet,
        job: &Job,
        to: &EmailAddress,
        email: &[u8],
    ) -> Option<Handover> {
        let parcel = Parcel {
            dispatch: job.work.dispatch(),
            notification: job.row.id,
            from: &job.work.identity.address,
            to,
            email,
        };
        let let_go = AtomicBool::new(false);
        let go_ahead = || {
            let holds = job.work.lease.holds(Instant::now());
            let_go.store(holds, Ordering::Relaxed);
            failpoint::reached("s4-before-dot");
            holds
        };
        let handover = self
            .abort
            .run_until_cancelled(outlet.hand_over(&parcel, go_ahead))
            .await;
        match handover {
            Some(Handover::Unsent(Fault {
                cause: FaultCause::Withheld,
                ..
            })) => None,
            Some(handover) => Some(handover),
            None if let_go.load(Ordering::Relaxed) => {
                let cause = FaultCause::Io("Herald was stopped before the reply came".into());
                Some(Handover::Unknown(Fault {
                    phase: Phase::Dot,
                    cause,
                }))
            }
            None => None,
        }
    }

    fn record(&self, job: Job, outcome: Outcome, permit: OwnedSemaphorePermit) {
        log(&job, &outcome);
        let again = match &outcome {
            Outcome::Again { at, .. } => Some(*at),
            _ => None,
        };
        let entry = Entry {
            notification: job.row.id,
            dispatch: job.work.dispatch(),
            token: job.work.lease.token,
            outcome,
            first: !job.work.fruitful.swap(true, Ordering::Relaxed),
        };
        self.writer.record(
            entry,
            Ticket {
                id: job.row.id,
                work: job.work,
                again,
                marking: None,
                reopened: false,
                permit: Some(permit),
            },
        );
    }
}

fn drop_job(job: &Job) {
    let done = Done {
        id: job.row.id,
        how: How::Dropped,
    };
    // A dispatch that no longer listens has no use for it.
    let _ = job.work.done.send(vec![done]);
}
