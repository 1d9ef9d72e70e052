//! Whether a relay works, as seen by everybody who connects to it. After a failure all of them wait
//! together, longer each time, instead of hammering it; the log has one line for the loss and one for the
//! return.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::fault::Fault;

/// First and longest wait after a failure; it doubles in between.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The state of one relay.
#[derive(Debug)]
pub struct Health {
    relay: String,
    failing: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    closed_until: Option<Instant>,
}

impl Health {
    /// A relay that nothing is known of yet; `relay` names it in the log.
    pub fn new(relay: String) -> Self {
        Self {
            relay,
            failing: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Waits until a connection may be tried.
    pub async fn wait(&self) {
        while let Some(until) = self.closed_until() {
            tokio::time::sleep_until(until.into()).await;
        }
    }

    fn closed_until(&self) -> Option<Instant> {
        self.lock().closed_until.filter(|until| *until > Instant::now())
    }

    /// The relay has judged an e-mail. Cheap while nothing is wrong.
    pub fn passed(&self) {
        if !self.failing.swap(false, Ordering::Relaxed) {
            return;
        }
        let failures = std::mem::take(&mut *self.lock()).failures;
        if failures > 0 {
            tracing::info!(relay = self.relay, "the relay is back");
        }
    }

    /// A connection could not be had, or broke before anything was judged on it.
    pub fn failed(&self, fault: &Fault) {
        let mut state = self.lock();
        let now = Instant::now();
        if state.closed_until.is_some_and(|until| until > now) {
            return; // somebody else saw the same failure
        }
        let wait = BACKOFF
            .0
            .saturating_mul(1 << state.failures.min(16))
            .min(BACKOFF.1);
        state.failures += 1;
        self.failing.store(true, Ordering::Relaxed);
        state.closed_until = Some(now + wait);
        let first = state.failures == 1;
        drop(state);
        if fault.blames_sender() {
            tracing::error!(relay = self.relay, %fault, "the relay refuses this sender; nobody is failed for it, mend the configuration");
        } else if first {
            tracing::warn!(relay = self.relay, %fault, "the relay cannot be used; trying again, nobody is failed for it");
        } else {
            tracing::debug!(relay = self.relay, %fault, ?wait, "the relay still cannot be used");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
