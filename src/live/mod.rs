//! What happens, told while it happens: to clients of `/ws`, and to the other workers of the same queue.
//!
//! Guarantee: telling never waits and never fails. Events of this process have numbers from 1 on without a gap;
//! so many are kept that whoever was away for a moment misses none, and whoever was away for longer is told so.
//! What another worker cannot be told in time is dropped.

mod event;
mod frame;
mod minutes;
mod relay;
mod ring;
mod running;
mod tally;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::domain::{DispatchId, DispatchStatus};
use crate::metrics::Metrics;
use frame::Frame;
use minutes::Minutes;
use ring::Ring;

pub use event::Event;
pub use frame::MAX_FRAME;
pub use minutes::Minute;
pub use relay::RelayMark;
pub use ring::Subscription;
pub use running::{Became, Running, Settled, Started};
pub use tally::Tally;

/// Between two events about the progress of one dispatch.
const PROGRESS: Duration = Duration::from_millis(200);

/// Rounds of [`PROGRESS`] until the others are told what was sent.
const SECOND: u64 = 5;

/// Rounds until histograms are tidied up.
const UPKEEP: u64 = 25;

/// Frames that wait for the broker at most; what comes then is dropped.
const OUTBOX: usize = 1_000;

/// All that is told in this process; clones are the same.
#[derive(Debug, Clone)]
pub struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    now: fn() -> DateTime<Utc>,
    metrics: Metrics,
    /// Tells this process from others.
    worker: String,
    ring: Ring,
    running: Mutex<Vec<Weak<Running>>>,
    invalid: Mutex<HashSet<String>>,
    minutes: Mutex<Minutes>,
    /// Of this process, since the others were told.
    sent: AtomicU64,
    failed: AtomicU64,
    /// Whether somebody takes what is for the other workers.
    linked: AtomicBool,
    outbox: mpsc::Sender<Vec<u8>>,
    waiting: Mutex<Option<mpsc::Receiver<Vec<u8>>>>,
}

impl Live {
    /// Nothing has happened yet.
    pub fn new(now: fn() -> DateTime<Utc>) -> Self {
        let (outbox, waiting) = mpsc::channel(OUTBOX);
        Self(Arc::new(Inner {
            now,
            metrics: Metrics::default(),
            worker: uuid::Uuid::new_v4().simple().to_string(),
            ring: Ring::default(),
            running: Mutex::default(),
            invalid: Mutex::default(),
            minutes: Mutex::default(),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            linked: AtomicBool::new(false),
            outbox,
            waiting: Mutex::new(Some(waiting)),
        }))
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Tells this process's clients and the other workers.
    pub fn emit(&self, event: Event) {
        let frame = Frame::event(&self.0.worker, (self.0.now)(), event);
        self.put(&frame);
        self.send(&frame);
    }

    /// Work on a dispatch begins. What is counted on the result is told at most five times a second.
    pub fn begin(&self, started: Started) -> Arc<Running> {
        let running = Arc::new(Running::new(self.clone(), &started, (self.0.now)()));
        lock(&self.0.running).push(Arc::downgrade(&running));
        self.emit(started.into());
        running
    }

    /// A dispatch was closed with these counts; `kind` is its message's type.
    pub fn dispatch_closed(
        &self,
        dispatch: DispatchId,
        kind: &'static str,
        status: DispatchStatus,
        counts: Tally,
    ) {
        self.0.metrics.dispatch_closed(kind, status);
        self.emit(Event::DispatchCompleted {
            dispatch_id: dispatch.to_string(),
            status: status.as_str().to_owned(),
            counts,
        });
    }

    /// The broker has stored a dead letter.
    pub fn dead_letter(
        &self,
        reason: &'static str,
        error: &str,
        message_id: Option<&str>,
        dispatch: Option<String>,
    ) {
        self.0.metrics.dead_letters(reason, 1);
        self.emit(Event::DeadLetter {
            reason: reason.to_owned(),
            error: event::text(error),
            message_id: message_id.map(event::text),
            dispatch_id: dispatch,
        });
    }

    /// A configuration file turned invalid (with the reason) or valid again.
    pub fn config(&self, tenant: Option<&str>, file: String, error: Option<&str>) {
        let mut invalid = lock(&self.0.invalid);
        match error {
            Some(_) => invalid.insert(file.clone()),
            None => invalid.remove(&file),
        };
        self.0.metrics.config_invalid(invalid.len());
        drop(invalid);
        self.emit(Event::ConfigInvalid {
            tenant_id: tenant.map(str::to_owned),
            file,
            error: error.map(event::text),
        });
    }

    /// A lane to a relay, open at first. `counted`: it has a number among the metrics.
    pub fn relay(&self, name: &str, counted: bool) -> RelayMark {
        RelayMark::new(self.clone(), name, counted)
    }

    /// Everything from here on, and what was missed `since` an earlier event.
    pub fn subscribe(&self, since: Option<u64>) -> Subscription {
        self.0.ring.subscribe(since, (self.0.now)())
    }

    /// What all workers have sent and failed in each of the last 60 minutes, as far as this one knows; the
    /// oldest first, those without anything among them.
    pub fn throughput(&self) -> Vec<Minute> {
        lock(&self.0.minutes).all((self.0.now)())
    }

    /// Takes what is for the other workers; there is one who does, and what comes before that is not kept.
    pub fn link(&self) -> Option<mpsc::Receiver<Vec<u8>>> {
        lock(&self.0.waiting).take()
    }

    /// Whether the other workers can be told.
    pub fn set_linked(&self, linked: bool) {
        self.0.linked.store(linked, Ordering::Relaxed);
    }

    /// Something came from a worker: this one's own, and what makes no sense, is passed over.
    pub fn receive(&self, body: &[u8]) {
        let Some(frame) = Frame::read(body).filter(|frame| frame.worker != self.0.worker) else {
            return;
        };
        self.put(&frame);
        lock(&self.0.minutes).add((self.0.now)(), frame.sent, frame.failed);
    }

    /// Tells of progress and counts minutes until `stop`; then clients are sent away.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(PROGRESS);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut round = 0;
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            round += 1;
            self.tell_progress();
            if round % SECOND == 0 {
                self.count_second();
            }
            if round % UPKEEP == 0 {
                self.0.metrics.upkeep();
            }
        }
        self.0.ring.end().await;
    }

    fn tell_progress(&self) {
        let mut running = lock(&self.0.running);
        running.retain(|running| running.strong_count() > 0);
        let all: Vec<_> = running.iter().filter_map(Weak::upgrade).collect();
        drop(running);
        for running in all {
            running.tell_progress();
        }
    }

    fn count_second(&self) {
        let sent = self.0.sent.swap(0, Ordering::Relaxed);
        let failed = self.0.failed.swap(0, Ordering::Relaxed);
        if sent + failed > 0 {
            let now = (self.0.now)();
            lock(&self.0.minutes).add(now, sent, failed);
            self.send(&Frame::counts(&self.0.worker, now, sent, failed));
        }
    }

    fn put(&self, frame: &Frame) {
        if let Some(shown) = frame.shown() {
            self.0.ring.push(frame.at, &shown);
        }
    }

    /// Dropped where the broker is slow or away.
    fn send(&self, frame: &Frame) {
        if self.0.linked.load(Ordering::Relaxed)
            && let Ok(bytes) = serde_json::to_vec(frame)
        {
            let _ = self.0.outbox.try_send(bytes);
        }
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
