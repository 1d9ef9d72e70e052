//! How far a dispatch has come, for people: from its row and the counts of its notifications.

use chrono::NaiveDateTime;

use super::browse::DispatchView;
use super::closing::Counts;
use crate::domain::{DispatchStatus, NotificationStatus};

/// Shorter than this nothing was worked on: a rate of less says nothing.
const LEAST_MS: i64 = 1;

impl DispatchView {
    /// Whether everybody in the audience has a row.
    pub fn audience_read(&self) -> bool {
        self.cursor_participant_id >= self.last_participant_id
    }

    /// How many notifications it has in all; `None` until all are known.
    pub fn total(&self, counts: &Counts) -> Option<u64> {
        self.audience_read().then(|| counts.total())
    }

    /// 0 … 1: settled notifications among all, as far as all are known.
    pub fn progress(&self, counts: &Counts) -> f64 {
        match (self.audience_read(), counts.total()) {
            (true, 0) => 1.0,
            (false, 0) => 0.0,
            (true, total) => share(settled(counts), total),
            (false, total) => {
                let read = share(
                    self.cursor_participant_id.unsigned_abs(),
                    self.last_participant_id.unsigned_abs(),
                );
                (read * share(settled(counts), total)).min(1.0)
            }
        }
    }

    /// Settled notifications a second, over the time that it has been worked on: until it was closed, until it
    /// was last touched where it is at rest, until `now` otherwise. 0 where that is not known.
    pub fn rate(&self, counts: &Counts, now: NaiveDateTime) -> f64 {
        let running = self.status == DispatchStatus::Running.as_str();
        let end = self
            .closed_at
            .unwrap_or(if running { now } else { self.updated_at });
        let worked = (end - self.created_at).num_milliseconds();
        if worked < LEAST_MS {
            return 0.0;
        }
        1000.0 * share(settled(counts), worked.unsigned_abs())
    }
}

/// Notifications that nothing is done about now.
fn settled(counts: &Counts) -> u64 {
    let open = counts.of(NotificationStatus::Pending) + counts.of(NotificationStatus::Sending);
    counts.total() - open
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
