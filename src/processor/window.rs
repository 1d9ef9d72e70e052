//! W: the permits that bound how many notifications are handed over without a committed outcome. Lanes share
//! them by weight, and none can take them all: a lane gets a further one only while it holds less than four
//! times what is free (dynamic thresholds, Choudhury and Hahne 1998); beside others, before it has shown that it
//! passes, or after it failed, less than an eighth. So relays that hang leave permits for others, however many
//! they are.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::fair::{Round, Stride};
use super::lease::lock;

/// How many times what is free a lane may hold that passes.
const SHARE: usize = 4;

/// What part of what is free a lane may hold that has not shown that it does.
const UNPROVEN: usize = 8;

/// Names a lane here.
pub(super) type LaneId = u64;

/// The permits of W.
pub(super) struct Window {
    state: Mutex<State>,
}

struct State {
    size: usize,
    free: usize,
    round: Round,
    lanes: HashMap<LaneId, Share>,
}

struct Share {
    held: usize,
    /// It passes, as far as is known.
    proven: bool,
    stride: Stride,
    waiting: VecDeque<oneshot::Sender<Permit>>,
}

/// Leave to hand one notification over; free again when it is dropped.
pub(super) struct Permit {
    window: Arc<Window>,
    lane: LaneId,
    shown: Shown,
}

/// What a handover has shown of its lane.
#[derive(Clone, Copy)]
enum Shown {
    Nothing,
    Passes,
    Fails,
}

impl Permit {
    /// The lane passes: something became of the notification.
    pub(super) fn passes(&mut self) {
        self.shown = Shown::Passes;
    }

    /// The lane failed.
    pub(super) fn fails(&mut self) {
        self.shown = Shown::Fails;
    }
}

impl Window {
    pub(super) fn new(size: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                size,
                free: size,
                round: Round::default(),
                lanes: HashMap::new(),
            }),
        })
    }

    /// A permit, if there is one for this lane and nobody of it waits.
    pub(super) fn try_acquire(self: &Arc<Self>, lane: LaneId, weight: f64) -> Option<Permit> {
        let taken = lock(&self.state).take(lane, weight);
        taken.then(|| self.permit(lane))
    }

    /// Waits for a permit.
    pub(super) async fn acquire(self: &Arc<Self>, lane: LaneId, weight: f64) -> Permit {
        loop {
            let granted = {
                let mut state = lock(&self.state);
                if state.take(lane, weight) {
                    None
                } else {
                    let (grant, granted) = oneshot::channel();
                    state.share(lane, weight).waiting.push_back(grant);
                    Some(granted)
                }
            };
            match granted {
                None => return self.permit(lane),
                Some(granted) => {
                    if let Ok(permit) = granted.await {
                        return permit;
                    }
                }
            }
        }
    }

    /// How many permits are held.
    pub(super) fn in_flight(&self) -> usize {
        let state = lock(&self.state);
        state.size - state.free
    }

    /// Forgets a lane that has ended; what it still holds comes back all the same.
    pub(super) fn forget(&self, lane: LaneId) {
        let mut state = lock(&self.state);
        if state.lanes.get(&lane).is_some_and(|share| share.held == 0) {
            state.lanes.remove(&lane);
        }
    }

    fn permit(self: &Arc<Self>, lane: LaneId) -> Permit {
        Permit {
            window: Arc::clone(self),
            lane,
            shown: Shown::Nothing,
        }
    }

    fn release(self: &Arc<Self>, lane: LaneId, shown: Shown) {
        let granted = {
            let mut state = lock(&self.state);
            state.free += 1;
            if let Some(share) = state.lanes.get_mut(&lane) {
                share.held -= 1;
                match shown {
                    Shown::Nothing => {}
                    Shown::Passes => share.proven = true,
                    Shown::Fails => share.proven = false,
                }
            }
            state.grant()
        };
        // Outside the lock: one that nobody waits for any more comes straight back.
        for (lane, grant) in granted {
            let _ = grant.send(self.permit(lane));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.window.release(self.lane, self.shown);
    }
}

impl State {
    fn share(&mut self, lane: LaneId, weight: f64) -> &mut Share {
        let round = &self.round;
        let share = self.lanes.entry(lane).or_insert_with(|| Share {
            held: 0,
            proven: false,
            stride: Stride::new(round, weight),
            waiting: VecDeque::new(),
        });
        if share.waiting.is_empty() {
            share.stride.wake(round, weight);
        }
        share
    }

    /// Takes one for `lane` at once. Others that wait have no claim: what they may have they were given.
    fn take(&mut self, lane: LaneId, weight: f64) -> bool {
        let share = self.share(lane, weight);
        share.waiting.retain(|grant| !grant.is_closed());
        let may = share.waiting.is_empty() && self.may(lane);
        if may {
            self.give(lane);
        }
        may
    }

    fn give(&mut self, lane: LaneId) {
        self.free -= 1;
        if let Some(share) = self.lanes.get_mut(&lane) {
            share.held += 1;
            share.stride.served(&mut self.round);
        }
    }

    /// What can be given to those who wait.
    fn grant(&mut self) -> Vec<(LaneId, oneshot::Sender<Permit>)> {
        let mut granted = Vec::new();
        while let Some(lane) = self.next() {
            let waiting = self.lanes.get_mut(&lane).and_then(|s| s.waiting.pop_front());
            let Some(grant) = waiting else { break };
            if grant.is_closed() {
                continue;
            }
            self.give(lane);
            granted.push((lane, grant));
        }
        granted
    }

    /// Whether a lane may have one more.
    fn may(&self, lane: LaneId) -> bool {
        let Some(share) = self.lanes.get(&lane) else {
            return self.free > 0;
        };
        if share.proven || self.is_alone(lane) {
            share.held < self.free.saturating_mul(SHARE)
        } else {
            share.held.saturating_mul(UNPROVEN) < self.free
        }
    }

    /// Whether no other lane has or wants any.
    fn is_alone(&self, lane: LaneId) -> bool {
        let mut others = self.lanes.iter().filter(|(other, _)| **other != lane);
        others.all(|(_, share)| share.held == 0 && share.waiting.is_empty())
    }

    fn next(&self) -> Option<LaneId> {
        let waiting = self
            .lanes
            .iter()
            .filter(|(lane, s)| !s.waiting.is_empty() && self.may(**lane));
        let next = waiting.min_by(|(_, a), (_, b)| a.stride.pass.total_cmp(&b.stride.pass));
        next.map(|(lane, _)| *lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(window: &Arc<Window>, lane: LaneId) -> Vec<Permit> {
        std::iter::from_fn(|| window.try_acquire(lane, 1.0)).collect()
    }

    /// Shows that the lane passes.
    fn prove(window: &Arc<Window>, lane: LaneId) {
        window.try_acquire(lane, 1.0).unwrap().passes();
    }

    #[test]
    fn a_lane_shows_first_that_it_passes() {
        let window = Window::new(256);
        assert_eq!(
            take_all(&window, 0).len(),
            205,
            "beside nobody there is nothing to show"
        );
        let other = window.try_acquire(1, 1.0);
        assert_eq!(take_all(&window, 0).len(), 29);
        prove(&window, 0);
        assert_eq!(take_all(&window, 0).len(), 204);
        window.try_acquire(0, 1.0).unwrap().fails();
        assert_eq!(take_all(&window, 0).len(), 29);
        let hanging: Vec<_> = (2..30).map(|lane| take_all(&window, lane)).collect();
        assert!(other.is_some() && hanging.iter().all(|permits| !permits.is_empty()));
    }

    #[test]
    fn no_lane_takes_all_and_even_many_leave_some() {
        let window = Window::new(256);
        (0..3).for_each(|lane| prove(&window, lane));
        let alone = take_all(&window, 0);
        assert!(alone.len() >= 204, "{}", alone.len());
        let held: Vec<_> = (1..3).map(|lane| take_all(&window, lane)).collect();
        assert!(held.iter().all(|permits| !permits.is_empty()));
        drop((alone, held));
        assert_eq!(lock(&window.state).free, 256);
    }

    #[test]
    fn the_smallest_window_passes_one_at_a_time() {
        let window = Window::new(1);
        let first = window.try_acquire(0, 1.0);
        assert!(first.is_some() && window.try_acquire(0, 1.0).is_none());
        drop(first);
        assert!(window.try_acquire(1, 1.0).is_some());
    }

    #[tokio::test]
    async fn who_waits_is_served_by_weight() {
        let window = Window::new(1);
        let first = window.acquire(0, 1.0).await;
        let (order, mut served) = tokio::sync::mpsc::unbounded_channel();
        for (lane, weight) in [(1, 1.0), (2, 3.0)] {
            for _ in 0..40 {
                let (window, order) = (Arc::clone(&window), order.clone());
                tokio::spawn(async move {
                    let permit = window.acquire(lane, weight).await;
                    let _ = order.send(lane);
                    drop(permit);
                });
            }
        }
        while lock(&window.state)
            .lanes
            .values()
            .map(|s| s.waiting.len())
            .sum::<usize>()
            < 80
        {
            tokio::task::yield_now().await;
        }
        drop(first);
        let mut heavy = 0;
        for _ in 0..40 {
            heavy += u64::from(served.recv().await == Some(2));
        }
        assert!((29..=31).contains(&heavy), "{heavy} of 40");
    }

    #[tokio::test]
    async fn a_permit_that_nobody_waits_for_any_more_comes_back() {
        let window = Window::new(1);
        let first = window.acquire(0, 1.0).await;
        let waiting = tokio::spawn({
            let window = Arc::clone(&window);
            async move { drop(window.acquire(0, 1.0).await) }
        });
        tokio::task::yield_now().await;
        waiting.abort();
        let _ = waiting.await;
        drop(first);
        assert!(window.try_acquire(0, 1.0).is_some());
    }
}
