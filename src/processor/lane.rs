//! The queue in front of a relay. Dispatches take turns, one notification each, so a giant event does not
//! starve a small one. What waits here holds no permit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use super::job::{Job, Work};
use super::lease::lock;

/// One relay with one identity, and what waits for it.
pub(super) struct Lane {
    queue: Mutex<Queue>,
    /// At least one permit for each waiting job; it may have some left over from jobs that were dropped.
    waiting: Semaphore,
}

#[derive(Default)]
struct Queue {
    turns: VecDeque<Turn>,
    /// Nobody else is served.
    alone: Option<Arc<Work>>,
}

struct Turn {
    work: Arc<Work>,
    jobs: VecDeque<Job>,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self {
            queue: Mutex::default(),
            waiting: Semaphore::new(0),
        }
    }

    /// Appends jobs of one dispatch.
    pub(super) fn push(&self, work: &Arc<Work>, jobs: impl ExactSizeIterator<Item = Job>) {
        let count = jobs.len();
        if count == 0 {
            return;
        }
        let mut queue = lock(&self.queue);
        match queue.turns.iter_mut().find(|t| Arc::ptr_eq(&t.work, work)) {
            Some(turn) => turn.jobs.extend(jobs),
            None => queue.turns.push_back(Turn {
                work: Arc::clone(work),
                jobs: jobs.collect(),
            }),
        }
        drop(queue);
        self.waiting.add_permits(count);
    }

    /// Puts a job that was not handed over back, behind the others of its dispatch: if it is the cause, they
    /// pass in between.
    pub(super) fn requeue(&self, job: Job) {
        let mut queue = lock(&self.queue);
        if let Some(turn) = queue.turns.iter_mut().find(|t| Arc::ptr_eq(&t.work, &job.work)) {
            turn.jobs.push_back(job);
        } else {
            let work = Arc::clone(&job.work);
            queue.turns.push_back(Turn {
                work,
                jobs: VecDeque::from([job]),
            });
        }
        drop(queue);
        self.waiting.add_permits(1);
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

    /// The next job, of the dispatch whose turn it is.
    pub(super) fn pop(&self) -> Option<Job> {
        lock(&self.queue).next()
    }

    /// How many jobs wait; it may say a few too many.
    pub(super) fn len(&self) -> usize {
        self.waiting.available_permits()
    }

    /// The next job without waiting, if there is one and it may travel among others.
    pub(super) fn pop_ordinary(&self) -> Option<Job> {
        let permit = self.waiting.try_acquire().ok()?;
        let mut queue = lock(&self.queue);
        let next = queue.turns.front()?.jobs.front();
        next.filter(|job| job.is_ordinary() && queue.alone.is_none())?;
        permit.forget();
        queue.next()
    }

    /// Takes out all that waits of one start of a dispatch.
    pub(super) fn remove(&self, work: &Arc<Work>) -> Vec<Job> {
        let mut queue = lock(&self.queue);
        let index = queue.turns.iter().position(|t| Arc::ptr_eq(&t.work, work));
        let jobs = index.and_then(|i| queue.turns.remove(i)).map(|turn| turn.jobs);
        drop(queue);
        let jobs: Vec<Job> = jobs.unwrap_or_default().into();
        self.waiting.forget_permits(jobs.len());
        jobs
    }
}

impl Queue {
    fn next(&mut self) -> Option<Job> {
        let index = match &self.alone {
            Some(work) => self.turns.iter().position(|t| Arc::ptr_eq(&t.work, work))?,
            None => 0,
        };
        let mut turn = self.turns.remove(index)?;
        let job = turn.jobs.pop_front();
        if !turn.jobs.is_empty() {
            self.turns.push_back(turn);
        }
        job
    }
}

/// A dispatch that is served alone until this is dropped: what ends the process meanwhile is its own doing.
pub(super) struct Alone {
    lane: Arc<Lane>,
}

impl Alone {
    pub(super) fn new(lane: &Arc<Lane>, work: &Arc<Work>) -> Self {
        lock(&lane.queue).alone = Some(Arc::clone(work));
        Self {
            lane: Arc::clone(lane),
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let mut queue = lock(&self.lane.queue);
        queue.alone = None;
        // Whoever looked for the others' jobs meanwhile found none.
        let waiting = queue.turns.iter().map(|turn| turn.jobs.len()).sum();
        drop(queue);
        self.lane.waiting.add_permits(waiting);
    }
}
