//! The circuit breaker in front of a relay. After a failure all who connect wait together, longer each
//! time; after five in a row without a success between, or when the relay refuses this sender, the lane
//! closes: nothing is handed over until a probe has come as far as AUTH. Nobody is failed for it.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::fault::Fault;
use super::relay::Relay;
use crate::live::RelayMark;

/// First and longest wait after a failure while the lane is open; it doubles in between.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));

/// First and longest wait before a probe; it doubles in between.
const PROBE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));

/// Failures in a row that close the lane.
const FAILURES: u32 = 5;

/// Whether a lane passes, as seen by everybody who hands over on it.
#[derive(Debug)]
pub struct Breaker {
    relay: String,
    /// Something is wrong: the cheap question before the exact one.
    failing: AtomicBool,
    state: Mutex<State>,
    /// Since when the lane is closed.
    closed: watch::Sender<Option<Instant>>,
    mark: Option<RelayMark>,
}

#[derive(Debug)]
struct State {
    failures: u32,
    not_before: Option<Instant>,
    probe_after: Duration,
    /// When the lane first closed since something passed.
    down_since: Option<Instant>,
    /// What was last said against it since something passed.
    complaint: Option<String>,
}

impl Breaker {
    /// An open lane; `relay` names it in the log.
    pub fn new(relay: String) -> Self {
        Self {
            relay,
            failing: AtomicBool::new(false),
            state: Mutex::new(State {
                failures: 0,
                not_before: None,
                probe_after: PROBE.0,
                down_since: None,
                complaint: None,
            }),
            closed: watch::Sender::new(None),
            mark: None,
        }
    }

    /// Tells `mark` when the lane closes and opens.
    #[must_use]
    pub fn watched(self, mark: RelayMark) -> Self {
        let mark = Some(mark);
        Self { mark, ..self }
    }

    /// For how long nothing has passed on the lane; `None` while it is open, on trial too.
    pub fn closed_for(&self) -> Option<Duration> {
        let closed = *self.closed.borrow();
        closed.map(|since| self.lock().down_since.unwrap_or(since).elapsed())
    }

    /// Whether nothing is wrong.
    pub fn passes(&self) -> bool {
        !self.failing.load(Ordering::Relaxed)
    }

    /// What was last said against the lane since something passed: the relay's reply, or why there was none.
    pub fn complaint(&self) -> Option<String> {
        self.lock().complaint.clone()
    }

    /// Tells when the lane closes and opens.
    pub fn watch(&self) -> watch::Receiver<Option<Instant>> {
        self.closed.subscribe()
    }

    /// Waits until the lane is open and no failure is too fresh.
    pub async fn wait(&self) {
        while self.failing.load(Ordering::Relaxed) {
            let mut closed = self.closed.subscribe();
            // The sender is this very value, so it cannot be gone.
            let _ = closed.wait_for(Option::is_none).await;
            match self.not_before() {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => return,
            }
        }
    }

    fn not_before(&self) -> Option<Instant> {
        self.lock().not_before.filter(|until| *until > Instant::now())
    }

    /// The relay has judged an e-mail. Cheap while nothing is wrong.
    pub fn passed(&self) {
        if !self.failing.swap(false, Ordering::Relaxed) {
            return;
        }
        let mut state = self.lock();
        (state.failures, state.not_before, state.probe_after) = (0, None, PROBE.0);
        (state.down_since, state.complaint) = (None, None);
        self.open();
        drop(state);
        tracing::info!(relay = self.relay, "the relay is back");
    }

    /// A connection could not be had, or broke before anything was judged on it, or after a final dot.
    pub fn failed(&self, fault: &Fault) {
        let mut state = self.lock();
        let now = Instant::now();
        if state.not_before.is_some_and(|until| until > now) || self.closed.borrow().is_some() {
            return; // somebody else saw the same failure
        }
        let wait = BACKOFF
            .0
            .saturating_mul(1 << state.failures.min(16))
            .min(BACKOFF.1);
        state.failures += 1;
        state.not_before = Some(now + wait);
        state.complaint = Some(fault.to_string());
        let failures = state.failures;
        self.failing.store(true, Ordering::Relaxed);
        drop(state);
        if fault.blames_sender() {
            tracing::error!(relay = self.relay, %fault, "the relay refuses this sender: mend the configuration; nobody is failed for it");
            self.close(fault);
        } else if failures >= FAILURES {
            tracing::error!(relay = self.relay, %fault, "the relay cannot be used: the lane is closed until a probe passes; nobody is failed for it");
            self.close(fault);
        } else if failures == 1 {
            tracing::warn!(relay = self.relay, %fault, "the relay cannot be used now; trying again, nobody is failed for it");
        } else {
            tracing::debug!(relay = self.relay, %fault, ?wait, "the relay still cannot be used");
        }
    }

    /// Closes the lane for what the relay says of the sender.
    pub fn denied(&self, reply: &super::fault::Reply) {
        // Those under way when it closed are denied as well.
        if self.closed.borrow().is_none() {
            tracing::error!(relay = self.relay, %reply, "the relay denies everybody: the lane is closed; nobody is failed for it");
        }
        self.failing.store(true, Ordering::Relaxed);
        self.lock().complaint = Some(reply.to_string());
        self.close(reply);
    }

    fn close(&self, why: &dyn Display) {
        self.lock().down_since.get_or_insert_with(Instant::now);
        let closes = self.closed.send_if_modified(|closed| {
            let open = closed.is_none();
            closed.get_or_insert_with(Instant::now);
            open
        });
        if let Some(mark) = self.mark.as_ref().filter(|_| closes) {
            mark.closed(&why.to_string());
        }
    }

    fn open(&self) {
        let opens = self.closed.send_replace(None).is_some();
        if let Some(mark) = self.mark.as_ref().filter(|_| opens) {
            mark.opened();
        }
    }

    /// Probes the relay whenever the lane is closed, until `stop`: a connection up to AUTH opens it. How
    /// long to wait starts anew only after an e-mail has passed.
    /// Without a relay (dummy mode) the wait alone opens it.
    pub async fn probe(&self, relay: Option<&Relay>, stop: &CancellationToken) {
        let mut closed = self.closed.subscribe();
        loop {
            let Some(Ok(_)) = stop.run_until_cancelled(closed.wait_for(Option::is_some)).await else {
                return;
            };
            let wait = self.next_probe();
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
            let Some(relay) = relay else {
                self.reopen();
                continue;
            };
            match stop.run_until_cancelled(relay.connect()).await {
                None => return,
                Some(Ok(conversation)) => {
                    conversation.quit().await;
                    tracing::info!(relay = self.relay, "a probe passed: the lane is open again");
                    self.reopen();
                }
                Some(Err(fault)) => {
                    tracing::warn!(relay = self.relay, %fault, waited = ?wait, "a probe failed: the lane stays closed");
                }
            }
        }
    }

    fn next_probe(&self) -> Duration {
        let mut state = self.lock();
        let wait = state.probe_after;
        state.probe_after = (wait * 2).min(PROBE.1);
        wait
    }

    /// Open on trial: one more failure closes it again.
    fn reopen(&self) {
        let mut state = self.lock();
        (state.failures, state.not_before) = (FAILURES - 1, None);
        drop(state);
        self.open();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailer::{FaultCause, Phase, Reply};

    fn fault(cause: FaultCause) -> Fault {
        Fault {
            phase: Phase::Auth,
            cause,
        }
    }

    /// As if the wait after the last failure were over.
    fn waited(breaker: &Breaker) {
        breaker.lock().not_before = None;
    }

    #[test]
    fn five_failures_in_a_row_close_the_lane() {
        let breaker = Breaker::new("relay".into());
        for _ in 0..FAILURES - 1 {
            breaker.failed(&fault(FaultCause::Closed));
            waited(&breaker);
        }
        assert_eq!(breaker.closed_for(), None);
        breaker.passed();
        for _ in 0..FAILURES {
            assert_eq!(breaker.closed_for(), None, "a success in between counts");
            breaker.failed(&fault(FaultCause::Closed));
            waited(&breaker);
        }
        assert!(breaker.closed_for().is_some());
        breaker.passed();
        assert_eq!(breaker.closed_for(), None);
    }

    #[test]
    fn what_many_see_at_once_is_one_failure() {
        let breaker = Breaker::new("relay".into());
        for _ in 0..100 {
            breaker.failed(&fault(FaultCause::Closed));
        }
        assert_eq!(breaker.lock().failures, 1);
    }

    #[test]
    fn a_refused_sender_closes_it_at_once_and_a_trial_may_close_it_again() {
        let breaker = Breaker::new("relay".into());
        let refused = FaultCause::Reply(Reply {
            code: 535,
            enhanced: None,
            text: "no".into(),
        });
        breaker.failed(&fault(refused));
        assert!(breaker.closed_for().is_some());
        breaker.reopen();
        assert_eq!(breaker.closed_for(), None);
        breaker.failed(&fault(FaultCause::Closed));
        assert!(breaker.closed_for().is_some());
    }

    #[test]
    fn probes_become_rarer_until_an_e_mail_passes() {
        let breaker = Breaker::new("relay".into());
        let waits: Vec<u64> = (0..8).map(|_| breaker.next_probe().as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300]);
        breaker.failed(&fault(FaultCause::Closed));
        breaker.passed();
        assert_eq!(breaker.next_probe().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_lane_is_waited_for() {
        let breaker = Breaker::new("relay".into());
        breaker.wait().await;
        breaker.denied(&Reply {
            code: 554,
            enhanced: None,
            text: "denied".into(),
        });
        let waiting = tokio::time::timeout(Duration::from_hours(1), breaker.wait());
        assert!(waiting.await.is_err());
        breaker.reopen();
        breaker.wait().await;
    }
}
