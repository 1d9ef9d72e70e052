//! What was sent and failed in each of the last 60 minutes.

use std::collections::VecDeque;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::Serialize;

/// How far back.
const MINUTES: usize = 60;

/// One minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Minute {
    /// Its beginning.
    pub at: DateTime<Utc>,
    /// Notifications that a relay or a webhook took.
    pub sent: u64,
    /// Notifications that were given up.
    pub failed: u64,
}

/// The minutes in which something happened, the newest last.
#[derive(Debug, Default)]
pub(super) struct Minutes(VecDeque<Minute>);

impl Minutes {
    pub(super) fn add(&mut self, now: DateTime<Utc>, sent: u64, failed: u64) {
        if sent + failed == 0 {
            return;
        }
        let at = minute(now);
        // A clock that was set back adds to the newest one it has.
        if self.0.back().is_none_or(|newest| newest.at < at) {
            let (sent, failed) = (0, 0);
            self.0.push_back(Minute { at, sent, failed });
        }
        if self.0.len() > MINUTES {
            self.0.pop_front();
        }
        if let Some(newest) = self.0.back_mut() {
            newest.sent += sent;
            newest.failed += failed;
        }
    }

    pub(super) fn all(&self, now: DateTime<Utc>) -> Vec<Minute> {
        let last = minute(now);
        let back = (0..MINUTES).rev();
        let ats = back.map(|back| last - TimeDelta::minutes(i64::try_from(back).unwrap_or(0)));
        ats.map(|at| {
            let known = self.0.iter().find(|minute| minute.at == at);
            let (sent, failed) = (0, 0);
            known.copied().unwrap_or(Minute { at, sent, failed })
        })
        .collect()
    }
}

fn minute(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_with_those_in_which_nothing_happened() {
        let start = minute(Utc::now());
        let mut minutes = Minutes::default();
        for n in 0..70 {
            minutes.add(start + TimeDelta::minutes(n), 1, 0);
        }
        let now = start + TimeDelta::minutes(72) + TimeDelta::seconds(59);
        minutes.add(now, 2, 3);
        minutes.add(now - TimeDelta::hours(1), 0, 1);
        let all = minutes.all(now);
        assert_eq!(all.len(), 60);
        assert_eq!(all[0].at, start + TimeDelta::minutes(13));
        assert_eq!(
            (all[0].sent, all[56].sent, all[57].sent, all[58].sent),
            (1, 1, 0, 0)
        );
        assert_eq!((all[59].sent, all[59].failed), (2, 4));
    }
}
