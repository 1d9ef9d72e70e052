//! Refusals that are not about the recipient. A relay that denies everybody answers as if each address
//! were wrong (`554 5.7.1 Relay access denied`): twenty such in a row, with no acceptance between, are taken
//! for what they are, and those who were failed for it are open again.
//!
//! Connections overlap: an acceptance says something only of the denials that were known when its own
//! handover began. One that was under way when the relay began to deny everybody absolves nobody.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::lease::lock;
use crate::mailer::{Handover, Refusal, Reply};

/// So many in a row close the lane.
const IN_A_ROW: u64 = 20;

/// The denials since the last acceptance, each of a `T`.
pub(super) struct Denials<T> {
    any: AtomicBool,
    /// All there ever were.
    total: AtomicU64,
    row: Mutex<Row<T>>,
}

struct Row<T> {
    /// Denials up to this number were meant.
    meant: u64,
    /// Recorded as failed so far, with their numbers.
    failed: Vec<(u64, T)>,
}

/// The reply of a refusal that is about the sender rather than the recipient.
pub(super) fn denial(handover: &Handover) -> Option<&Reply> {
    match handover {
        Handover::RefusedForGood {
            refusal: Refusal::Reply(reply),
            ..
        } => Some(reply).filter(|reply| reply.is_policy()),
        _ => None,
    }
}

impl<T> Default for Denials<T> {
    fn default() -> Self {
        Self {
            any: AtomicBool::new(false),
            total: AtomicU64::new(0),
            row: Mutex::new(Row {
                meant: 0,
                failed: Vec::new(),
            }),
        }
    }
}

impl<T> Denials<T> {
    /// How many there were: asked when a handover begins.
    pub(super) fn so_far(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// A handover that began when there were `so_far` was accepted: those were meant.
    pub(super) fn accepted(&self, so_far: u64) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let mut row = lock(&self.row);
        row.meant = row.meant.max(so_far);
        let meant = row.meant;
        row.failed.retain(|(number, _)| *number > meant);
        self.any.store(meant < self.so_far(), Ordering::Relaxed);
    }

    /// One more denial, its failure already on the way into the ledger; once there are enough in a row,
    /// returns all that were failed for it. Each further one comes back at once, until something is
    /// accepted.
    pub(super) fn denied(&self, of: T) -> Vec<T> {
        let mut row = lock(&self.row);
        let number = self.total.fetch_add(1, Ordering::Relaxed) + 1;
        self.any.store(true, Ordering::Relaxed);
        row.failed.push((number, of));
        if number - row.meant < IN_A_ROW {
            return Vec::new();
        }
        row.failed.drain(..).map(|(_, of)| of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(denials: &Denials<u64>, count: u64) -> Vec<u64> {
        (0..count).flat_map(|n| denials.denied(n)).collect()
    }

    #[test]
    fn twenty_in_a_row_come_back_and_so_does_each_further_one() {
        let denials = Denials::default();
        assert!(denied(&denials, 19).is_empty());
        assert_eq!(denials.denied(19), (0..20).collect::<Vec<_>>());
        assert_eq!(denials.denied(20), [20]);
    }

    #[test]
    fn those_before_an_acceptance_were_meant() {
        let denials = Denials::default();
        denied(&denials, 19);
        denials.accepted(denials.so_far());
        assert!(denied(&denials, 19).is_empty());
        assert_eq!(denied(&denials, 1).len(), 20);
        denials.accepted(denials.so_far());
        assert!(denied(&denials, 19).is_empty());
    }

    #[test]
    fn an_acceptance_that_was_under_way_absolves_nobody() {
        let denials = Denials::default();
        denied(&denials, 2);
        let begun = denials.so_far();
        denied(&denials, 10);
        denials.accepted(begun);
        assert!(denied(&denials, 9).is_empty());
        assert_eq!(denied(&denials, 1).len(), 20);
    }
}
