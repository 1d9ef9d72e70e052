//! Group commit: one thread writes outcomes into the ledger. It flushes whatever has gathered as soon as
//! its last commit returned and a moment has passed, so a slow disk makes larger groups, not a longer
//! queue. An outcome's ticket
//! is given back only after its commit; while the database is away the writer holds what it has and
//! tries again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::NaiveDateTime;

use super::connection::Database;
use super::error::DbError;
use super::ledger::{Entry, Taken, record};
use crate::failpoint;

/// Entries in one transaction at most.
const GROUP: usize = 2000;

/// Least time from the start of one commit to that of the next.
const PACE: Duration = Duration::from_millis(5);

/// Waits between tries while the database is away: doubling from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The way into the ledger. `T` travels with each entry and comes back with the commit.
pub struct Writer<T> {
    entries: Sender<(Entry, T)>,
}

impl<T> Clone for Writer<T> {
    fn clone(&self) -> Self {
        Self {
            entries: self.entries.clone(),
        }
    }
}

impl<T: Send + 'static> Writer<T> {
    /// Starts the thread. `committed` is called on it after each commit with every ticket and what the ledger says
    /// of its outcome, and how long the commit took. The thread ends when all writers are gone, or without its last group when
    /// `abandon` is set while the database is away.
    pub fn start(
        db: Database,
        now: impl Fn() -> NaiveDateTime + Send + 'static,
        abandon: Arc<AtomicBool>,
        committed: impl Fn(Vec<(T, Taken)>, Duration) + Send + 'static,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (entries, gathered) = channel();
        let thread = std::thread::Builder::new()
            .name("herald-ledger".into())
            .spawn(move || {
                let mut last = None;
                while let Some((group, tickets)) = next_group(&gathered, last) {
                    let begun = Instant::now();
                    last = Some(begun);
                    match commit(&db, &group, &now, &abandon) {
                        Some(taken) => committed(tickets.into_iter().zip(taken).collect(), begun.elapsed()),
                        None => return,
                    }
                }
            })?;
        Ok((Self { entries }, thread))
    }

    /// Hands an outcome to the thread. Never blocks: permits bound how many can be on their way.
    pub fn record(&self, entry: Entry, ticket: T) {
        if self.entries.send((entry, ticket)).is_err() {
            tracing::error!("the ledger's writer has ended; an outcome stays open and is sent again");
        }
    }
}

fn next_group<T>(gathered: &Receiver<(Entry, T)>, last: Option<Instant>) -> Option<(Vec<Entry>, Vec<T>)> {
    let first = gathered.recv().ok()?;
    // The first after a pause goes at once; in a stream a commit for each would cost more than the e-mail.
    if let Some(wait) = last.and_then(|at| PACE.checked_sub(at.elapsed())) {
        std::thread::sleep(wait);
    }
    Some(
        std::iter::once(first)
            .chain(gathered.try_iter())
            .take(GROUP)
            .unzip(),
    )
}

/// Commits the group, however long the database is away; `None` when that was given up.
fn commit(
    db: &Database,
    group: &[Entry],
    now: &impl Fn() -> NaiveDateTime,
    abandon: &AtomicBool,
) -> Option<Vec<Taken>> {
    let mut pause = BACKOFF.0;
    loop {
        let at = now();
        failpoint::reached("s5-before-commit");
        match db.write_here(|conn| record(conn, group, at)) {
            Ok(taken) => {
                failpoint::reached("s5-after-commit");
                return Some(taken);
            }
            Err(DbError::Conflict(_)) if pause == BACKOFF.0 => {}
            Err(error) => {
                tracing::error!(%error, outcomes = group.len(), "cannot commit outcomes; trying again");
            }
        }
        if abandon.load(Ordering::Relaxed) {
            tracing::error!(
                outcomes = group.len(),
                "stopped before these outcomes could be committed"
            );
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(BACKOFF.1);
    }
}
