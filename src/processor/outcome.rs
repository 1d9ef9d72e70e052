//! What a handover means for its notification: retry while the message is held, defer, give up. The judgement is pure.

use std::time::Duration;

use chrono::NaiveDateTime;
use tokio_retry::strategy::{ExponentialBackoff, jitter};

use super::job::Job;
use crate::config::{DeliveryConfig, OnUnknown};
use crate::mailer::{Fault, Handover, Phase};
use crate::repository::Outcome;

/// Longest wait between two tries while the message is held.
pub(super) const LONGEST_DELAY: Duration = Duration::from_mins(10);

/// How often the lane may fail at one notification, while it passes others, before that counts as the
/// notification's own fault.
const LANE_FAULTS: u32 = 3;

/// What to do after a handover.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Write this into the ledger.
    Record(Outcome),
    /// It was not handed over and nobody is charged: another connection, another try.
    Requeue,
}

/// Judges `handover`, the attempt after `attempts` earlier ones. `lane_faults` counts this one already
/// if it is one, and `lane_passes` says whether the lane has delivered others in between.
pub(super) fn judge(
    handover: Handover,
    attempts: u32,
    (lane_faults, lane_passes): (u32, bool),
    config: &DeliveryConfig,
    now: NaiveDateTime,
) -> Next {
    let number = attempts + 1;
    match handover {
        Handover::Accepted(_) => Next::Record(Outcome::Sent),
        Handover::RefusedForGood { phase, refusal } => Next::Record(Outcome::Failed {
            error: format!("{phase}: {refusal}"),
            attempted: true,
        }),
        Handover::RefusedForNow { phase, reply } => {
            Next::Record(transient(format!("{phase}: {reply}"), number, config, now))
        }
        Handover::Unsent(fault) if lane_faults >= LANE_FAULTS && lane_passes => {
            Next::Record(transient(fault.to_string(), number, config, now))
        }
        Handover::Unsent(_) => Next::Requeue,
        Handover::Unknown(fault) => Next::Record(unknown(&fault, number, config, now)),
    }
}

/// MAX_RETRIES by RETRY_DELAY, then a step of RETRY_SCHEDULE for each attempt, then the end.
fn transient(error: String, number: u32, config: &DeliveryConfig, now: NaiveDateTime) -> Outcome {
    if number <= config.max_retries {
        return Outcome::Again {
            error,
            at: after(now, delay(config.retry_delay, number)),
        };
    }
    let step = (number - config.max_retries - 1) as usize;
    match config.retry_schedule.get(step) {
        Some(&wait) => Outcome::Deferred {
            error,
            at: after(now, wait),
        },
        None => Outcome::Failed {
            error,
            attempted: true,
        },
    }
}

/// Follows RETRY_SCHEDULE from its first step on, or stays for the operator.
fn unknown(fault: &Fault, number: u32, config: &DeliveryConfig, now: NaiveDateTime) -> Outcome {
    debug_assert!(
        matches!(fault.phase, Phase::Dot | Phase::Webhook),
        "before the dot it is known that nothing was sent"
    );
    let at = match config.on_unknown {
        OnUnknown::Hold => None,
        OnUnknown::Resend => config
            .retry_schedule
            .get(number as usize - 1)
            .map(|&wait| after(now, wait)),
    };
    Outcome::Unknown {
        error: fault.to_string(),
        at,
    }
}

fn after(now: NaiveDateTime, wait: Duration) -> NaiveDateTime {
    chrono::Duration::from_std(wait)
        .ok()
        .and_then(|w| now.checked_add_signed(w))
        .unwrap_or(now)
}

/// `base` doubled for each retry before, half of it at random, so that many do not return at once.
fn delay(base: Duration, retry: u32) -> Duration {
    // The strategy's n-th value is 2^n × factor.
    let factor = u64::try_from(base.as_millis() / 2).unwrap_or(u64::MAX).max(1);
    let full = ExponentialBackoff::from_millis(2)
        .factor(factor)
        .max_delay(LONGEST_DELAY)
        .nth(retry.saturating_sub(1).min(60) as usize)
        .unwrap_or(LONGEST_DELAY);
    full / 2 + jitter(full / 2)
}

/// One line for each outcome that somebody may have to look into.
pub(super) fn log(job: &Job, outcome: &Outcome) {
    let (dispatch, notification, attempt) = (job.work.dispatch(), job.row.id, job.row.attempts + 1);
    let shown = |error: &str| without_addresses(error);
    match outcome {
        Outcome::Sent => tracing::debug!(%dispatch, %notification, recipient = job.row.recipient, "sent"),
        Outcome::Again { error, at } => {
            tracing::info!(dispatch.id = %dispatch, notification.id = %notification, attempt, error = shown(error), next = %at, "will try again");
        }
        Outcome::Deferred { error, at } => {
            tracing::info!(dispatch.id = %dispatch, notification.id = %notification, attempt, error = shown(error), next = %at, "deferred");
        }
        Outcome::Failed { error, .. } => {
            tracing::warn!(dispatch.id = %dispatch, notification.id = %notification, attempt, error = shown(error), "failed");
        }
        Outcome::Sending | Outcome::TakenBack => {}
        Outcome::Unknown { error, .. } => {
            tracing::warn!(dispatch.id = %dispatch, notification.id = %notification, attempt, error = shown(error), "outcome unknown");
        }
    }
}

/// Relays repeat the recipient in their replies: the log gets what stands before it, the ledger has it all.
fn without_addresses(error: &str) -> String {
    if !error.contains('@') {
        return error.to_owned();
    }
    let words = error.split(' ').take_while(|word| !word.contains(['@', '<']));
    words.chain(["…"]).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailer::{FaultCause, Refusal, Reply};
    use rstest::rstest;

    fn config(schedule: &[u64], on_unknown: OnUnknown) -> DeliveryConfig {
        DeliveryConfig {
            batch_size: 100,
            in_flight: 256,
            on_unknown,
            max_retries: 3,
            retry_delay: Duration::from_secs(5),
            retry_schedule: schedule.iter().map(|&s| Duration::from_secs(s)).collect(),
            park_after: Duration::from_mins(10),
            retention: Duration::from_hours(24),
            lease: Duration::from_secs(15),
        }
    }

    fn now() -> NaiveDateTime {
        NaiveDateTime::default()
    }

    fn reply(code: u16) -> Reply {
        Reply {
            code,
            enhanced: None,
            text: "no".into(),
        }
    }

    fn for_now() -> Handover {
        Handover::RefusedForNow {
            phase: Phase::Rcpt,
            reply: reply(451),
        }
    }

    fn lost(phase: Phase) -> Fault {
        Fault {
            phase,
            cause: FaultCause::Closed,
        }
    }

    fn seconds(at: NaiveDateTime) -> i64 {
        (at - now()).num_seconds()
    }

    #[rstest]
    #[case(0, 2, 5)]
    #[case(1, 5, 10)]
    #[case(2, 10, 20)]
    fn retries_double_while_the_message_is_held(
        #[case] attempts: u32,
        #[case] least: i64,
        #[case] most: i64,
    ) {
        let next = judge(
            for_now(),
            attempts,
            (0, false),
            &config(&[300], OnUnknown::Resend),
            now(),
        );
        let Next::Record(Outcome::Again { at, error }) = next else {
            panic!("{next:?}")
        };
        assert!((least..=most).contains(&seconds(at)), "{at}");
        assert_eq!(error, "rcpt: 451 no");
    }

    #[test]
    fn then_the_schedule_then_the_end() {
        let config = config(&[300, 1800], OnUnknown::Resend);
        let step = |attempts| judge(for_now(), attempts, (0, false), &config, now());
        let Next::Record(Outcome::Deferred { at, .. }) = step(3) else {
            panic!()
        };
        assert_eq!(seconds(at), 300);
        let Next::Record(Outcome::Deferred { at, .. }) = step(4) else {
            panic!()
        };
        assert_eq!(seconds(at), 1800);
        assert!(matches!(
            step(5),
            Next::Record(Outcome::Failed { attempted: true, .. })
        ));
    }

    #[test]
    fn a_refusal_for_good_is_the_end_at_once() {
        let refusal = Refusal::Reply(reply(550));
        let next = judge(
            Handover::RefusedForGood {
                phase: Phase::Rcpt,
                refusal,
            },
            0,
            (0, false),
            &config(&[300], OnUnknown::Resend),
            now(),
        );
        let error = "rcpt: 550 no".to_owned();
        assert_eq!(
            next,
            Next::Record(Outcome::Failed {
                error,
                attempted: true
            })
        );
    }

    #[test]
    fn the_lanes_fault_is_nobodys_until_it_strikes_one_alone() {
        let judge = |faults, passes| {
            let config = config(&[], OnUnknown::Resend);
            judge(
                Handover::Unsent(lost(Phase::Mail)),
                0,
                (faults, passes),
                &config,
                now(),
            )
        };
        assert_eq!(judge(1, true), Next::Requeue);
        assert_eq!(judge(9, false), Next::Requeue);
        assert!(matches!(judge(3, true), Next::Record(Outcome::Again { .. })));
    }

    #[test]
    fn unknown_is_sent_again_or_held() {
        let judge = |attempts, on_unknown| {
            let unknown = Handover::Unknown(lost(Phase::Dot));
            judge(unknown, attempts, (0, false), &config(&[300], on_unknown), now())
        };
        let Next::Record(Outcome::Unknown { at, .. }) = judge(0, OnUnknown::Resend) else {
            panic!()
        };
        assert_eq!(at.map(seconds), Some(300));
        for (attempts, on_unknown) in [(0, OnUnknown::Hold), (1, OnUnknown::Resend)] {
            assert!(matches!(
                judge(attempts, on_unknown),
                Next::Record(Outcome::Unknown { at: None, .. })
            ));
        }
    }

    #[test]
    fn delays_have_an_end() {
        assert!(delay(Duration::from_secs(5), 200) <= LONGEST_DELAY);
        assert!(delay(Duration::ZERO, 1) <= Duration::from_millis(4));
    }
}
