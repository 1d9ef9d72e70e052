//! What a dispatch has in its hands. The ledger says what is open; this says which of it is already on its
//! way, so that no row is handed over twice by the process that owns it.

use std::collections::HashSet;

use crate::domain::NotificationId;
use crate::repository::WorkRow;

/// Notifications between being read from the ledger and being committed there.
#[derive(Debug, Default)]
pub(super) struct Hand {
    held: HashSet<NotificationId>,
    /// Left the hand while a read was under way: that read may still show them as open.
    left: HashSet<NotificationId>,
    reading: bool,
}

impl Hand {
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// A read of the ledger begins.
    pub(super) fn begin_read(&mut self) {
        self.reading = true;
    }

    /// It has ended: keeps those rows that are not on their way already, and takes them in hand.
    pub(super) fn take(&mut self, rows: Vec<WorkRow>) -> Vec<WorkRow> {
        self.reading = false;
        let left = std::mem::take(&mut self.left);
        rows.into_iter()
            .filter(|row| !left.contains(&row.id) && self.held.insert(row.id))
            .collect()
    }

    /// Its outcome is committed, or it was dropped.
    pub(super) fn leave(&mut self, id: NotificationId) {
        if self.held.remove(&id) && self.reading {
            self.left.insert(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64) -> WorkRow {
        WorkRow {
            id: NotificationId(id),
            channel: crate::domain::Channel::Email,
            participant_id: None,
            recipient: String::new(),
            name: String::new(),
            message_id: String::new(),
            attempts: 0,
            created_at: chrono::NaiveDateTime::default(),
        }
    }

    #[test]
    fn a_stale_read_gives_nothing_twice() {
        let mut hand = Hand::default();
        hand.begin_read();
        assert_eq!(hand.take(vec![row(1), row(2)]).len(), 2);
        hand.begin_read();
        hand.leave(NotificationId(1)); // committed after the read's snapshot was taken
        let fresh = hand.take(vec![row(1), row(2), row(3)]);
        assert_eq!(fresh.iter().map(|r| r.id.0).collect::<Vec<_>>(), [3]);
        assert_eq!(hand.len(), 2);
    }

    #[test]
    fn a_later_read_may_bring_it_back() {
        let mut hand = Hand::default();
        hand.take(vec![row(1)]);
        hand.leave(NotificationId(1));
        hand.begin_read();
        assert_eq!(hand.take(vec![row(1)]).len(), 1);
    }
}
