//! How long what failed waits.

use std::time::Duration;

use chrono::TimeDelta;
use tokio_retry::strategy::{ExponentialBackoff, jitter};

/// Longest wait.
const LONGEST: Duration = Duration::from_mins(5);

/// Shortest one.
const SHORTEST: Duration = Duration::from_millis(200);

/// After so many doublings the longest is reached.
const DOUBLINGS: usize = 12;

/// Before the next try of what failed `before` times before: from a second, doubling, with jitter.
pub(super) fn wait(before: i32) -> TimeDelta {
    let doublings = usize::try_from(before).unwrap_or(0).min(DOUBLINGS);
    let full = ExponentialBackoff::from_millis(2)
        .factor(500)
        .max_delay(LONGEST)
        .nth(doublings)
        .unwrap_or(LONGEST);
    TimeDelta::from_std(jitter(full).max(SHORTEST)).unwrap_or(TimeDelta::minutes(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_have_an_end() {
        for _ in 0..100 {
            assert!(wait(0) <= TimeDelta::seconds(1) && wait(0) >= TimeDelta::milliseconds(200));
            assert!(wait(3) <= TimeDelta::seconds(8));
            assert!(wait(i32::MAX) <= TimeDelta::minutes(5));
        }
        let longest = (0..200).map(|_| wait(20)).max();
        assert!(longest > Some(TimeDelta::minutes(1)), "{longest:?}");
    }
}
