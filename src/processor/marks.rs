//! Entries of the ledger that are no outcomes: a row is about to be handed over, or its failure is taken
//! back.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::job::{Job, Ticket};
use super::sender::Senders;
use crate::live::Became;
use crate::repository::{Entry, Outcome};

impl Senders {
    /// Marks a row in the ledger and waits for the commit; false when the lease is somebody else's.
    pub(super) async fn mark(&self, job: &Job) -> bool {
        let (marking, marked) = oneshot::channel();
        let entry = Entry {
            notification: job.row.id,
            dispatch: job.work.dispatch(),
            token: job.work.lease.token,
            outcome: Outcome::Sending,
            first: false,
        };
        let ticket = Ticket {
            id: job.row.id,
            work: Arc::clone(&job.work),
            channel: job.row.channel,
            became: Became::Same,
            again: None,
            marking: Some(marking),
            reopened: false,
            permit: None,
        };
        self.writer.record(entry, ticket);
        let marked = self.abort.run_until_cancelled(marked).await;
        matches!(marked, Some(Ok(true))) && job.work.lease.holds(Instant::now())
    }

    /// Opens a notification again that was failed for the relay's sake, if its dispatch is still at work.
    pub(super) fn take_back(&self, job: Job) {
        let entry = Entry {
            notification: job.row.id,
            dispatch: job.work.dispatch(),
            token: job.work.lease.token,
            outcome: Outcome::TakenBack,
            first: false,
        };
        let ticket = Ticket {
            id: job.row.id,
            channel: job.row.channel,
            became: Became::Reopened,
            work: job.work,
            again: None,
            marking: None,
            reopened: true,
            permit: None,
        };
        self.writer.record(entry, ticket);
    }
}
