//! S4: the tasks that hand over, one for each connection. A job is taken only when a connection is ready
//! and a permit of W is free; the lease is looked at again right before the bytes that cannot be taken
//! back.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::attend::drop_job;
use super::compose::{Composed, compose};
use super::job::{Job, Ticket};
use super::lane::Lane;
use super::line::{Advanced, Line, Load};
use super::pacing::Pacing;
use super::telling::tell_fault;
use super::way::{Open, Way, quit};
use super::window::{Permit, Window};
use crate::mailer::{Fault, FaultCause, Handover};
use crate::repository::{Outcome, Writer};

/// A connection that nothing was handed over on for so long takes its leave.
const IDLE: Duration = Duration::from_secs(30);

/// A connection that takes longer to open leaves its work to others meanwhile.
const SOON: Duration = Duration::from_secs(2);

/// E-mails a second over all connections.
pub(super) type Rate = governor::DefaultDirectRateLimiter;

/// What all senders of a lane share.
pub(super) struct Senders {
    pub(super) lane: Arc<Lane>,
    pub(super) way: Way,
    pub(super) rate: Option<Rate>,
    pub(super) pacing: Pacing,
    pub(super) window: Arc<Window>,
    pub(super) writer: Writer<Ticket>,
    pub(super) connections: usize,
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
        let mut line = Line::default();
        while !self.abort.is_cancelled() {
            if line.flying.is_empty() {
                line.retire().await;
                match self.stop.run_until_cancelled(self.ready(&mut line.open)).await {
                    None => break,
                    // Behind this point a job is ours, so a stop no longer cuts in.
                    Some(Some(permit)) => {
                        if let Some(job) = self.lane.pop() {
                            self.load(&mut line, job, permit).await;
                        }
                    }
                    Some(None) => {}
                }
            }
            self.fill(&mut line).await;
            self.advance(&mut line).await;
        }
        self.let_go(&mut line);
        quit(&mut line.open).await;
    }

    /// Waits until there is work, a connection, and a permit of W.
    async fn ready(&self, open: &mut Option<Open>) -> Option<Permit> {
        if tokio::time::timeout(IDLE, self.lane.wait()).await.is_err() {
            quit(open).await;
            return None;
        }
        self.lane.breaker.wait().await;
        tokio::time::sleep(self.pacing.pause()).await;
        if open.is_none() && !self.connect(open).await {
            return None;
        }
        if let Some(rate) = &self.rate {
            rate.until_ready().await;
        }
        Some(self.window.acquire(self.lane.id, self.lane.weight()).await)
    }

    /// Opens a connection; false when the work it was opened for has to be waited for anew: a connection
    /// that is slow to come holds no work that others can do.
    async fn connect(&self, open: &mut Option<Open>) -> bool {
        let mut connecting = pin!(self.way.connect());
        let soon = tokio::time::timeout(SOON, &mut connecting).await.ok();
        let in_time = soon.is_some();
        if !in_time {
            self.lane.not_now();
        }
        let connected = match soon {
            Some(connected) => connected,
            None => connecting.await,
        };
        match connected {
            Ok(outlet) => *open = Some(Open::new(outlet)),
            Err(fault) => {
                if in_time {
                    self.lane.not_now();
                }
                self.lane.breaker.failed(&fault);
                tell_fault(&self.lane.live, &fault);
                return false;
            }
        }
        in_time
    }

    /// Adds what can travel with the e-mails under way: a fair share of what waits, and nothing that would
    /// have to wait for a permit here.
    async fn fill(&self, line: &mut Line) {
        let passes =
            || self.lane.breaker.passes() && self.pacing.pause().is_zero() && !self.stop.is_cancelled();
        while line.takes_more(self.lane.len() / self.connections) && passes() {
            let Some(permit) = self.window.try_acquire(self.lane.id, self.lane.weight()) else {
                return;
            };
            if self.rate.as_ref().is_some_and(|rate| rate.check().is_err()) {
                return;
            }
            let Some(job) = self.lane.pop_ordinary() else {
                return;
            };
            self.load(line, job, permit).await;
        }
    }

    /// Looks after the lane while it is closed.
    pub(super) async fn probe(&self) {
        let relay = match &self.way {
            Way::Relay(relay) => Some(relay),
            Way::Dummy(_) | Way::Slack(_) => None,
        };
        self.lane.breaker.probe(relay, &self.stop).await;
    }

    /// Composes a job's e-mail and puts it on the line.
    async fn load(&self, line: &mut Line, job: Job, permit: Permit) {
        let Some(open) = &mut line.open else {
            return self.lane.requeue(job);
        };
        if !job.work.lease.holds(Instant::now()) {
            return drop_job(&job);
        }
        if job.work.marked && !self.mark(&job).await {
            return drop_job(&job);
        }
        let denials = job.route().standing.denials.so_far();
        match compose(&job) {
            Ok(composed) => {
                let email = match &composed {
                    Composed::Email { email, .. } if job.page.is_some() => Some(email.clone()),
                    _ => None,
                };
                open.outlet.add(&job, composed);
                line.flying.push_back(Load {
                    job,
                    permit,
                    email,
                    let_go: AtomicBool::new(false),
                    denials,
                });
            }
            Err(error) => {
                let attempted = false;
                self.record(job, Outcome::Failed { error, attempted }, permit, None);
            }
        }
    }

    /// Waits until something is certain of what is under way, and sees to that.
    async fn advance(&self, line: &mut Line) {
        let handovers = match self.abort.run_until_cancelled(line.advance()).await {
            Some(Advanced::Settled(handovers)) => handovers,
            Some(Advanced::TakenBack(count)) => {
                let kept = line.flying.len().saturating_sub(count);
                for load in line.flying.drain(kept..) {
                    self.lane.requeue(load.job);
                }
                return;
            }
            None => return self.let_go(line),
        };
        let Some(open) = &mut line.open else { return };
        if let Some(pause) = open.outlet.take_pause() {
            self.pacing.hold_until(Instant::now() + pause);
        }
        let mut blamed = false;
        for handover in handovers {
            let Some(load) = line.flying.pop_front() else {
                break;
            };
            match &handover {
                Handover::Unsent(Fault {
                    cause: FaultCause::Withheld,
                    ..
                }) => drop_job(&load.job),
                _ => self.attend(open, load, handover, &mut blamed),
            }
        }
    }
}
