//! One relay (or webhook) with those who log in there: what waits for it, whether it passes, and how each
//! identity stands with it. What waits here holds no permit, and what waits for one lane holds up no other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::job::{Job, Work};
use super::lease::lock;
use super::queue::Queue;
use super::standing::Standing;
use super::window::LaneId;
use crate::domain::EmailAddress;
use crate::live::Live;
use crate::mailer::Breaker;

/// A lane with work that has had no outcome for so long is stalled.
const STALLED: Duration = Duration::from_secs(10);

/// A relay, and what waits for it.
pub(super) struct Lane {
    pub(super) id: LaneId,
    /// `host:port`, for logs.
    pub(super) shown: String,
    pub(super) breaker: Breaker,
    pub(super) live: Live,
    /// Ends its tasks.
    pub(super) stop: CancellationToken,
    queue: Mutex<Queue>,
    /// At least one permit for each waiting job that may be served; it may have some left over from jobs that
    /// were dropped.
    waiting: Semaphore,
    standings: Mutex<Vec<Arc<Standing>>>,
    born: Instant,
    /// When something last became of a handover, or something came to wait where nothing did; in milliseconds
    /// since `born`.
    moved: AtomicU64,
}

impl Lane {
    pub(super) fn new(id: LaneId, shown: String, stop: CancellationToken, live: &Live) -> Self {
        Self {
            id,
            breaker: Breaker::new(shown.clone()).watched(live.relay(&shown, true)),
            live: live.clone(),
            shown,
            stop,
            queue: Mutex::default(),
            waiting: Semaphore::new(0),
            standings: Mutex::default(),
            born: Instant::now(),
            moved: AtomicU64::new(0),
        }
    }

    /// How `address` stands here.
    pub(super) fn standing(&self, address: &EmailAddress) -> (Arc<Standing>, bool) {
        let mut standings = lock(&self.standings);
        if let Some(known) = standings.iter().find(|s| s.address == *address) {
            return (Arc::clone(known), false);
        }
        let fresh = Arc::new(Standing::new(address.clone(), &self.shown, &self.live));
        standings.push(Arc::clone(&fresh));
        (fresh, true)
    }

    /// All who send here.
    pub(super) fn standings(&self) -> Vec<Arc<Standing>> {
        lock(&self.standings).clone()
    }

    /// Appends jobs of one dispatch.
    pub(super) fn push(&self, jobs: Vec<Job>) {
        let Some(first) = jobs.first() else { return };
        let standing = Arc::clone(&first.route().standing);
        let mut queue = lock(&self.queue);
        if queue.is_empty() {
            self.note_move();
        }
        let count = jobs.len();
        let served = queue.push(&standing, jobs);
        drop(queue);
        if served {
            self.waiting.add_permits(count);
        }
    }

    /// Puts a job that was not handed over back, behind the others of its dispatch: if it is the cause, they
    /// pass in between.
    pub(super) fn requeue(&self, job: Job) {
        self.push(vec![job]);
    }

    /// Waits until something may be there; every return has to be followed by `pop` or `not_now`.
    pub(super) async fn wait(&self) {
        if let Ok(permit) = self.waiting.acquire().await {
            permit.forget();
        }
    }

    /// Undoes a `wait` that could not be followed by `pop`.
    pub(super) fn not_now(&self) {
        self.waiting.add_permits(1);
    }

    /// The next job, of the tenant and dispatch whose turn it is.
    pub(super) fn pop(&self) -> Option<Job> {
        lock(&self.queue).next()
    }

    /// How many jobs wait; it may say a few too many.
    pub(super) fn len(&self) -> usize {
        self.waiting.available_permits()
    }

    /// The share of the window that those who wait here have together.
    pub(super) fn weight(&self) -> f64 {
        lock(&self.queue).weight()
    }

    /// The next job without waiting, if there is one and it may travel among others.
    pub(super) fn pop_ordinary(&self) -> Option<Job> {
        let permit = self.waiting.try_acquire().ok()?;
        let mut queue = lock(&self.queue);
        let next = queue.peek().filter(|job| job.is_ordinary());
        next.filter(|_| !queue.is_alone())?;
        permit.forget();
        queue.next()
    }

    /// Takes out all that waits of one start of a dispatch.
    pub(super) fn remove(&self, work: &Arc<Work>) -> Vec<Job> {
        let (jobs, served) = lock(&self.queue).remove(work);
        if served {
            self.waiting.forget_permits(jobs.len());
        }
        jobs
    }

    /// How many jobs of one start of a dispatch wait here.
    pub(super) fn count(&self, work: &Arc<Work>) -> usize {
        lock(&self.queue).count(work)
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.queue).is_empty()
    }

    /// Serves the jobs of an identity or lets them wait, as its breaker says.
    pub(super) fn observe(&self, standing: &Arc<Standing>) {
        let mut queue = lock(&self.queue);
        // Under the lock, so that the last one who looks has the last word.
        let closed = standing.breaker.closed_for().is_some();
        let moved = queue.hold(standing, closed);
        drop(queue);
        if closed {
            self.waiting.forget_permits(moved);
        } else {
            self.waiting.add_permits(moved);
        }
    }

    /// Nobody but this work is served, or everybody again.
    pub(super) fn set_alone(&self, work: Option<&Arc<Work>>) {
        let mut queue = lock(&self.queue);
        queue.set_alone(work.cloned());
        // Whoever looked for the others' jobs meanwhile found none.
        let waiting = if work.is_none() { queue.served() } else { 0 };
        drop(queue);
        self.waiting.add_permits(waiting);
    }

    /// Something became of a handover.
    pub(super) fn note_move(&self) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Relaxed);
    }

    /// Whether there is work and nothing has become of any for a while: a relay that hangs, and is not known
    /// for it yet.
    pub(super) fn is_stalled(&self) -> bool {
        let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(moved) >= STALLED && !self.is_empty()
    }
}
