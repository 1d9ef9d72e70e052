//! The pace of a lane. A relay that refuses one recipient after the other for now has a trouble of its own,
//! or is asked too fast: the lane goes slower instead of using up everybody's attempts, and at full pace
//! again with the first acceptance.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::lease::lock;
use crate::mailer::Handover;

/// So many in a row are not about the recipients.
const IN_A_ROW: u32 = 10;

/// First and longest pause of each connection before its next e-mail; it doubles in between.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// How fast a lane goes.
#[derive(Default)]
pub(super) struct Pacing {
    /// There was a refusal since the last acceptance: the cheap question before the exact one.
    refused: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    in_a_row: u32,
    pause: Duration,
    /// The pause grows once in its own length: connections that were under way together are one refusal.
    changed: Option<Instant>,
    /// What the other side asked for (Retry-After).
    not_before: Option<Instant>,
}

impl Pacing {
    /// What became of an e-mail at `now`.
    pub(super) fn note(&self, handover: &Handover, now: Instant) {
        match handover {
            Handover::RefusedForNow { .. } => self.slow_down(now),
            Handover::Accepted(_) if self.refused.swap(false, Ordering::Relaxed) => {
                *lock(&self.state) = State::default();
            }
            _ => {}
        }
    }

    fn slow_down(&self, now: Instant) {
        self.refused.store(true, Ordering::Relaxed);
        let mut state = lock(&self.state);
        state.in_a_row += 1;
        let settled = state.changed.is_none_or(|at| now - at >= state.pause);
        if state.in_a_row >= IN_A_ROW && settled {
            state.pause = (state.pause * 2).clamp(PAUSE.0, PAUSE.1);
            state.changed = Some(now);
        }
    }

    /// The other side asked to be left alone until then.
    pub(super) fn hold_until(&self, until: Instant) {
        lock(&self.state).not_before = Some(until);
        self.refused.store(true, Ordering::Relaxed);
    }

    /// How long a connection waits before its next e-mail.
    pub(super) fn pause(&self) -> Duration {
        if !self.refused.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        let state = lock(&self.state);
        let asked = state
            .not_before
            .map(|until| until.saturating_duration_since(Instant::now()));
        state.pause.max(asked.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailer::{Phase, Reply};

    fn reply(code: u16) -> Reply {
        Reply {
            code,
            enhanced: None,
            text: String::new(),
        }
    }

    fn refused() -> Handover {
        Handover::RefusedForNow {
            phase: Phase::Rcpt,
            reply: reply(451),
        }
    }

    #[test]
    fn a_few_refusals_slow_nothing() {
        let (pacing, now) = (Pacing::default(), Instant::now());
        (1..IN_A_ROW).for_each(|_| pacing.note(&refused(), now));
        assert_eq!(pacing.pause(), Duration::ZERO);
    }

    #[test]
    fn many_in_a_row_double_the_pause_once_in_its_length() {
        let (pacing, now) = (Pacing::default(), Instant::now());
        (0..40).for_each(|_| pacing.note(&refused(), now));
        assert_eq!(pacing.pause(), PAUSE.0);
        (0..40).for_each(|_| pacing.note(&refused(), now + PAUSE.0));
        assert_eq!(pacing.pause(), PAUSE.0 * 2);
        (1..100).for_each(|n| pacing.note(&refused(), now + PAUSE.1 * n));
        assert_eq!(pacing.pause(), PAUSE.1);
    }

    #[test]
    fn an_acceptance_brings_the_full_pace_back() {
        let (pacing, now) = (Pacing::default(), Instant::now());
        (0..40).for_each(|_| pacing.note(&refused(), now));
        pacing.note(&Handover::Accepted(reply(250)), now);
        assert_eq!(pacing.pause(), Duration::ZERO);
        (1..IN_A_ROW).for_each(|_| pacing.note(&refused(), now));
        assert_eq!(pacing.pause(), Duration::ZERO);
    }
}
