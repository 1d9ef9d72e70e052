//! R1 from the holder's side. A lease is trusted for two thirds of its time after the *start* of its last
//! successful beat, by the monotonic clock; others wait a whole LEASE of silence before they take it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::consumer::Delivery;
use crate::domain::{DispatchId, LeaseToken};
use crate::repository::{self, Database, Wanted};

/// A lease that this process holds, or held.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) dispatch: DispatchId,
    pub(super) token: LeaseToken,
    trusted_until: Mutex<Instant>,
    lost: CancellationToken,
    wanted: watch::Sender<Option<Wanted>>,
}

impl Lease {
    fn new(dispatch: DispatchId, token: LeaseToken, trusted_until: Instant) -> Self {
        Self {
            dispatch,
            token,
            trusted_until: Mutex::new(trusted_until),
            lost: CancellationToken::new(),
            wanted: watch::Sender::new(None),
        }
    }

    /// Whether something may be handed over now.
    pub(super) fn holds(&self, now: Instant) -> bool {
        !self.lost.is_cancelled() && now < *lock(&self.trusted_until)
    }

    /// Ends when somebody else has taken it.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Ends when an operator wants something of the dispatch.
    pub(super) async fn wanted(&self) -> Wanted {
        let mut wanted = self.wanted.subscribe();
        match wanted.wait_for(Option::is_some).await.map(|wanted| *wanted) {
            Ok(Some(wanted)) => wanted,
            // The sender is this very value.
            _ => std::future::pending().await,
        }
    }

    /// Says that somebody else has it.
    pub(super) fn give_up(&self) {
        self.lost.cancel();
    }
}

/// A dispatch and the token it is held under.
type Held = (DispatchId, LeaseToken);

/// One running dispatch of this process.
struct Running {
    lease: Arc<Lease>,
    deliveries: Vec<Arc<Delivery>>,
    lost_recorded: bool,
}

/// The leases of this process, kept alive by beats on a connection of their own.
#[derive(Clone)]
pub(super) struct Leases {
    db: Database,
    period: Duration,
    running: Arc<Mutex<HashMap<DispatchId, Running>>>,
}

impl Leases {
    pub(super) fn new(db: Database, period: Duration) -> Self {
        Self {
            db,
            period,
            running: Arc::default(),
        }
    }

    /// LEASE.
    pub(super) fn period(&self) -> Duration {
        self.period
    }

    /// Takes charge of a claim whose transaction began at `began`.
    pub(super) fn hold(
        &self,
        dispatch: DispatchId,
        token: LeaseToken,
        delivery: Option<Arc<Delivery>>,
        began: Instant,
    ) -> Arc<Lease> {
        let lease = Arc::new(Lease::new(dispatch, token, began + self.period * 2 / 3));
        let running = Running {
            lease: Arc::clone(&lease),
            deliveries: delivery.into_iter().collect(),
            lost_recorded: false,
        };
        if let Some(old) = lock(&self.running).insert(dispatch, running) {
            old.lease.give_up();
        }
        lease
    }

    /// Stops beating for a dispatch.
    pub(super) fn drop_lease(&self, lease: &Lease) {
        let mut running = lock(&self.running);
        if running
            .get(&lease.dispatch)
            .is_some_and(|r| r.lease.token == lease.token)
        {
            running.remove(&lease.dispatch);
        }
    }

    /// Tells those who work on these dispatches here what is wanted of them.
    pub(super) fn steer(&self, wanted: &[(DispatchId, Wanted)]) {
        let running = lock(&self.running);
        for (dispatch, wanted) in wanted {
            if let Some(entry) = running.get(dispatch) {
                entry.lease.wanted.send_replace(Some(*wanted));
            }
        }
    }

    /// Whether this process works on anything.
    pub(super) fn is_idle(&self) -> bool {
        lock(&self.running).is_empty()
    }

    /// Whether this process works on `dispatch`, and what has become of its deliveries.
    pub(super) fn own(&self, dispatch: DispatchId) -> Option<Backing> {
        lock(&self.running).get(&dispatch).map(Running::backing)
    }

    /// Puts a further delivery behind a running dispatch; false when it has just ended.
    pub(super) fn adopt(&self, dispatch: DispatchId, delivery: &Arc<Delivery>) -> bool {
        match lock(&self.running).get_mut(&dispatch) {
            Some(running) => {
                running.deliveries.retain(|d| d.is_live());
                running.deliveries.push(Arc::clone(delivery));
                true
            }
            None => false,
        }
    }

    /// Beats every third of LEASE until `stop`; a failed beat is tried again soon.
    pub(super) async fn keep_alive(self, stop: CancellationToken) {
        let mut pause = self.period / 3;
        while stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_some()
        {
            let began = Instant::now();
            pause = match self.beat_all(began).await {
                Ok(()) => self.period / 3,
                Err(error) => {
                    tracing::warn!(%error, "cannot renew leases; sending stops unless this passes soon");
                    self.period / 15
                }
            };
        }
    }

    async fn beat_all(&self, began: Instant) -> Result<(), repository::DbError> {
        let (leases, lost) = self.snapshot();
        let told = lost.clone();
        if leases.is_empty() {
            self.db.no_beats();
            return Ok(());
        }
        let asked = leases.clone();
        let held = self
            .db
            .beat(move |conn| {
                for &(dispatch, token) in &lost {
                    repository::delivery_lost(conn, dispatch, token)?;
                }
                repository::beat(conn, &asked)
            })
            .await?;
        let mut running = lock(&self.running);
        for (dispatch, token) in leases {
            let Some(entry) = running.get_mut(&dispatch).filter(|r| r.lease.token == token) else {
                continue;
            };
            if held.contains(&dispatch) {
                *lock(&entry.lease.trusted_until) = began + self.period * 2 / 3;
                // Only what this beat has written is written: a delivery may have gone away meanwhile.
                let told = entry.lost_recorded || told.contains(&(dispatch, token));
                entry.lost_recorded = told && !entry.is_delivered();
            } else {
                tracing::warn!(dispatch.id = %dispatch, "another worker has taken this dispatch over");
                entry.lease.give_up();
                running.remove(&dispatch);
            }
        }
        Ok(())
    }

    /// All leases, and those whose deliveries went away since the last beat.
    fn snapshot(&self) -> (Vec<Held>, Vec<Held>) {
        let running = lock(&self.running);
        // In one order everywhere, so that two beats cannot wait for each other.
        let sorted = |mut held: Vec<Held>| {
            held.sort_unstable_by_key(|(dispatch, _)| *dispatch);
            held
        };
        let pair = |r: &Running| (r.lease.dispatch, r.lease.token);
        let lost = running.values().filter(|r| !r.lost_recorded && !r.is_delivered());
        (
            sorted(running.values().map(pair).collect()),
            sorted(lost.map(pair).collect()),
        )
    }
}

impl Running {
    fn is_delivered(&self) -> bool {
        self.backing() == Backing::Live
    }

    fn backing(&self) -> Backing {
        if self.deliveries.is_empty() {
            Backing::Never
        } else if self.deliveries.iter().any(|d| d.is_live()) {
            Backing::Live
        } else {
            Backing::Lost
        }
    }
}

/// What stands behind a running dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backing {
    /// A delivery that can be acked.
    Live,
    /// One that went away: the message comes again.
    Lost,
    /// None: the sweeper took it up.
    Never,
}

/// A panic while the lock was held leaves nothing half done here.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
