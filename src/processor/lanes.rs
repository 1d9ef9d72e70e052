//! The lanes of this process: one for each relay and each webhook, opened when first needed and closed when
//! it was idle for long. Each has connections, breaker, pace and rate limit of its own; they share the window
//! and the ledger's writer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Clock;
use super::destination::Destination;
use super::job::{Route, Ticket, Work};
use super::lane::Lane;
use super::lease::lock;
use super::pacing::Pacing;
use super::sender::{Rate, Senders};
use super::standing::Standing;
use super::users::Users;
use super::way::Way;
use super::window::Window;
use crate::domain::EmailAddress;
use crate::live::Live;
use crate::repository::Writer;

/// A lane that nothing waited for or used for so long is closed.
const IDLE: Duration = Duration::from_mins(5);

/// All lanes, and what they share.
pub(super) struct Lanes {
    open: Mutex<HashMap<String, Entry>>,
    tasks: Mutex<JoinSet<()>>,
    alone: Mutex<Option<Arc<Work>>>,
    pub(super) users: Users,
    next: AtomicU64,
    window: Arc<Window>,
    writer: Writer<Ticket>,
    now: Clock,
    stop: CancellationToken,
    abort: CancellationToken,
    live: Live,
}

struct Entry {
    lane: Arc<Lane>,
    used: Instant,
}

impl Lanes {
    pub(super) fn new(
        in_flight: usize,
        writer: Writer<Ticket>,
        now: Clock,
        (stop, abort): (&CancellationToken, &CancellationToken),
        live: &Live,
    ) -> Self {
        let window = Window::new(in_flight);
        let asked = Arc::clone(&window);
        live.metrics().ask_in_flight(move || asked.in_flight());
        Self {
            open: Mutex::default(),
            tasks: Mutex::default(),
            alone: Mutex::default(),
            users: Users::default(),
            next: AtomicU64::new(0),
            window,
            writer,
            now,
            stop: stop.clone(),
            abort: abort.clone(),
            live: live.clone(),
        }
    }

    /// The lane to `destination`, opened if there is none, and how `identity` stands there.
    pub(super) fn route(&self, destination: &Destination, identity: &EmailAddress) -> Result<Route, String> {
        let key = destination.key();
        let known = self.known(&key);
        let lane = match known {
            Some(lane) => lane,
            None => self.open(key, destination)?,
        };
        let (standing, fresh) = lane.standing(identity);
        if fresh {
            self.look_after(&lane, &standing);
        }
        Ok(Route { lane, standing })
    }

    /// The lane to `destination`, if it is open.
    fn known(&self, key: &str) -> Option<Arc<Lane>> {
        let mut open = lock(&self.open);
        let entry = open.get_mut(key)?;
        entry.used = Instant::now();
        Some(Arc::clone(&entry.lane))
    }

    /// Whether `key` leads to this lane.
    pub(super) fn is(&self, key: &str, lane: &Arc<Lane>) -> bool {
        let open = lock(&self.open);
        open.get(key).is_some_and(|entry| Arc::ptr_eq(&entry.lane, lane))
    }

    fn open(&self, key: String, destination: &Destination) -> Result<Arc<Lane>, String> {
        // Reads certificates, so outside the lock; of two that do so at once the second one's is dropped.
        let way = destination.way()?;
        let mut open = lock(&self.open);
        if let Some(entry) = open.get(&key) {
            return Ok(Arc::clone(&entry.lane));
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let lane = Arc::new(Lane::new(
            id,
            destination.shown(),
            self.stop.child_token(),
            &self.live,
        ));
        lane.set_alone(lock(&self.alone).as_ref());
        self.spawn(&lane, way, destination);
        let (entry, used) = (Arc::clone(&lane), Instant::now());
        open.insert(key, Entry { lane: entry, used });
        Ok(lane)
    }

    /// A task for each connection, and one that probes while the lane is closed.
    fn spawn(&self, lane: &Arc<Lane>, way: Way, destination: &Destination) {
        let connections = destination.connections();
        let senders = Arc::new(Senders {
            lane: Arc::clone(lane),
            way,
            rate: rate(destination.rate_limit()),
            pacing: Pacing::default(),
            window: Arc::clone(&self.window),
            writer: self.writer.clone(),
            connections,
            now: self.now,
            passed: AtomicU64::new(0),
            stop: lane.stop.clone(),
            abort: self.abort.clone(),
        });
        let mut tasks = lock(&self.tasks);
        for _ in 0..connections {
            tasks.spawn(Arc::clone(&senders).run());
        }
        tasks.spawn(async move { senders.probe().await });
    }

    /// Lets the jobs of an identity wait while the relay refuses it, and tries again by and by.
    fn look_after(&self, lane: &Arc<Lane>, standing: &Arc<Standing>) {
        let mut tasks = lock(&self.tasks);
        let (stop, probed) = (lane.stop.clone(), Arc::clone(standing));
        tasks.spawn(async move { probed.breaker.probe(None, &stop).await });
        let (stop, standing) = (lane.stop.clone(), Arc::clone(standing));
        let lane = Arc::downgrade(lane);
        tasks.spawn(async move {
            let mut closed = standing.breaker.watch();
            while let Some(Ok(())) = stop.run_until_cancelled(closed.changed()).await {
                let Some(lane) = lane.upgrade() else { return };
                lane.observe(&standing);
            }
        });
    }

    /// Those that are open.
    pub(super) fn all(&self) -> Vec<Arc<Lane>> {
        lock(&self.open)
            .values()
            .map(|entry| Arc::clone(&entry.lane))
            .collect()
    }

    /// Whether there is another lane that something could be handed over on.
    pub(super) fn are_several(&self) -> bool {
        lock(&self.open).len() > 1
    }

    /// Closes lanes that nobody has used for long.
    pub(super) fn retire(&self) {
        let mut open = lock(&self.open);
        open.retain(|_, entry| {
            if !entry.lane.is_empty() {
                entry.used = Instant::now();
            }
            let idle = entry.used.elapsed() >= IDLE;
            // Its own tasks have it, too; more than that is a dispatch in work.
            let used = Arc::strong_count(&entry.lane) > 2;
            if idle && !used {
                entry.lane.stop.cancel();
                self.window.forget(entry.lane.id);
                tracing::debug!(relay = entry.lane.shown, "an idle lane is closed");
            }
            used || !idle
        });
        drop(open);
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
    }

    /// Nobody but this work is served on any lane, or everybody again.
    pub(super) fn set_alone(&self, work: Option<&Arc<Work>>) {
        let open = lock(&self.open);
        *lock(&self.alone) = work.cloned();
        for entry in open.values() {
            entry.lane.set_alone(work);
        }
    }

    /// Waits for all tasks to end.
    pub(super) async fn end(&self) {
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        while tasks.join_next().await.is_some() {}
    }
}

/// One at a time, evenly: a burst is what a limit is to keep away.
fn rate(limit: u32) -> Option<Rate> {
    let quota = governor::Quota::per_second(std::num::NonZeroU32::new(limit)?);
    Some(Rate::direct(quota.allow_burst(std::num::NonZeroU32::MIN)))
}

/// A dispatch that is served alone until this is dropped: what ends the process meanwhile is its own doing.
pub(super) struct Alone {
    lanes: Arc<Lanes>,
}

impl Alone {
    pub(super) fn new(lanes: &Arc<Lanes>, work: &Arc<Work>) -> Self {
        lanes.set_alone(Some(work));
        Self {
            lanes: Arc::clone(lanes),
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.lanes.set_alone(None);
    }
}
