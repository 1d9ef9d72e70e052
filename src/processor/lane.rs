//! The queue in front of a relay. Dispatches take turns, one notification each, so a giant event does not
//! starve a small one. What waits here holds no permit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use super::job::{Job, Work};
use super::lease::lock;

/// One relay with one identity, and what waits for it.
pub(super) struct Lane {
    turns: Mutex<VecDeque<Turn>>,
    /// At least one permit for each waiting job; it may have some left over from jobs that were dropped.
    waiting: Semaphore,
}

struct Turn {
    work: Arc<Work>,
    jobs: VecDeque<Job>,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self {
            turns: Mutex::default(),
            waiting: Semaphore::new(0),
        }
    }

    /// Appends jobs of one dispatch.
    pub(super) fn push(&self, work: &Arc<Work>, jobs: impl ExactSizeIterator<Item = Job>) {
        let count = jobs.len();
        if count == 0 {
            return;
        }
        let mut turns = lock(&self.turns);
        match turns.iter_mut().find(|t| Arc::ptr_eq(&t.work, work)) {
            Some(turn) => turn.jobs.extend(jobs),
            None => turns.push_back(Turn {
                work: Arc::clone(work),
                jobs: jobs.collect(),
            }),
        }
        drop(turns);
        self.waiting.add_permits(count);
    }

    /// Puts a job that was not handed over back, behind the others of its dispatch: if it is the cause, they
    /// pass in between.
    pub(super) fn requeue(&self, job: Job) {
        let mut turns = lock(&self.turns);
        if let Some(turn) = turns.iter_mut().find(|t| Arc::ptr_eq(&t.work, &job.work)) {
            turn.jobs.push_back(job);
        } else {
            let work = Arc::clone(&job.work);
            turns.push_back(Turn {
                work,
                jobs: VecDeque::from([job]),
            });
        }
        drop(turns);
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
        next(&mut lock(&self.turns))
    }

    /// How many jobs wait; it may say a few too many.
    pub(super) fn len(&self) -> usize {
        self.waiting.available_permits()
    }

    /// The next job without waiting, if there is one and it may travel among others.
    pub(super) fn pop_ordinary(&self) -> Option<Job> {
        let permit = self.waiting.try_acquire().ok()?;
        let mut turns = lock(&self.turns);
        turns.front()?.jobs.front().filter(|job| job.is_ordinary())?;
        permit.forget();
        next(&mut turns)
    }

    /// Takes out all that waits of one start of a dispatch.
    pub(super) fn remove(&self, work: &Arc<Work>) -> Vec<Job> {
        let mut turns = lock(&self.turns);
        let index = turns.iter().position(|t| Arc::ptr_eq(&t.work, work));
        index
            .and_then(|i| turns.remove(i))
            .map(|t| t.jobs.into())
            .unwrap_or_default()
    }
}

fn next(turns: &mut VecDeque<Turn>) -> Option<Job> {
    let mut turn = turns.pop_front()?;
    let job = turn.jobs.pop_front();
    if !turn.jobs.is_empty() {
        turns.push_back(turn);
    }
    job
}
