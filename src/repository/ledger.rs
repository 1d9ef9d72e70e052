//! S5: what became of each notification, written in batches. `sent` is a fact: it is recorded under any
//! token, once and for all. Every other outcome counts only under the lease (rule R3).

use std::collections::{HashMap, HashSet};

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::clock::schedule_time;
use super::connection::AnyConnection;
use super::error::DbError;
use super::lease::under;
use super::outbox::bundle_again;
use super::pages::OPEN;
use super::schema::{dispatches, notifications};
use crate::domain::{DispatchId, LeaseToken, NotificationId, NotificationStatus};

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The relay took it.
    Sent,
    /// Not this time; stays open with its next time, while the message is held.
    Again {
        /// Why.
        error: String,
        /// UTC.
        at: NaiveDateTime,
    },
    /// Not this time; from the ledger at its next time.
    Deferred {
        /// Why.
        error: String,
        /// UTC.
        at: NaiveDateTime,
    },
    /// Never.
    Failed {
        /// Why.
        error: String,
        /// Whether an attempt was made (not when rendering failed).
        attempted: bool,
    },
    /// About to be handed over (`hold` and quarantine only).
    Sending,
    /// Failed for the relay's sake: open again, the attempt uncharged.
    TakenBack,
    /// Handed over, but no reply came.
    Unknown {
        /// What was seen.
        error: String,
        /// UTC; `None`: left to the operator.
        at: Option<NaiveDateTime>,
    },
}

impl Outcome {
    /// UTC, by the worker's clock.
    fn next_time(&self) -> Option<NaiveDateTime> {
        match self {
            Self::Again { at, .. } | Self::Deferred { at, .. } => Some(*at),
            Self::Unknown { at, .. } => *at,
            Self::Sent | Self::Failed { .. } | Self::Sending | Self::TakenBack => None,
        }
    }
}

/// What the ledger says of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It stands there.
    Yes,
    /// The row had its outcome already: that one stands.
    Settled,
    /// The dispatch is somebody else's now.
    LeaseLost,
}

/// An outcome on its way into the ledger.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Whose.
    pub notification: NotificationId,
    /// Of which dispatch.
    pub dispatch: DispatchId,
    /// The lease under which it was handed over.
    pub token: LeaseToken,
    /// What became of it.
    pub outcome: Outcome,
    /// The first outcome of this start: it was not in vain.
    pub first: bool,
}

/// How many ids one statement names: SQLite takes 32,766 values, and longer ones gain nothing.
const CHUNK: usize = 500;

/// Writes `entries`; says for each whether it was taken. One that was refused belongs to a dispatch that
/// somebody else works off now.
pub fn record(
    conn: &mut AnyConnection,
    entries: &[Entry],
    now: NaiveDateTime,
) -> Result<Vec<Taken>, DbError> {
    let sent: Vec<i64> = entries
        .iter()
        .filter(|e| e.outcome == Outcome::Sent)
        .map(|e| e.notification.0)
        .collect();
    for ids in sent.chunks(CHUNK) {
        record_sent(conn, ids, now)?;
    }
    list_again(conn, entries, now)?;
    for entry in entries.iter().filter(|e| e.first) {
        diesel::update(dispatches::table.find(entry.dispatch.to_string()))
            .set(dispatches::vain_starts.eq(0))
            .execute(conn)?;
    }
    let is_timed = |entry: &Entry| entry.outcome.next_time().is_some();
    let time = if entries.iter().any(is_timed) {
        schedule_time(conn, now)?
    } else {
        now
    };
    let mut leases = HashMap::new();
    let mut accepted = Vec::with_capacity(entries.len());
    for entry in entries {
        if entry.outcome == Outcome::Sent {
            accepted.push(Taken::Yes);
            continue;
        }
        let lease = (entry.dispatch, entry.token);
        let held = match leases.get(&lease) {
            Some(&held) => held,
            None => *leases.entry(lease).or_insert(still_held(conn, lease, now)?),
        };
        accepted.push(match (held, held && record_one(conn, entry, now, time)?) {
            (false, _) => Taken::LeaseLost,
            (true, false) => Taken::Settled,
            (true, true) => Taken::Yes,
        });
    }
    Ok(accepted)
}

/// Who lost the lease may say `sent` of a dispatch that was closed since: its bundle lacks that e-mail.
fn list_again(conn: &mut AnyConnection, entries: &[Entry], now: NaiveDateTime) -> Result<(), DbError> {
    let sent = entries.iter().filter(|e| e.outcome == Outcome::Sent);
    let of: HashSet<String> = sent.map(|e| e.dispatch.to_string()).collect();
    if of.is_empty() {
        return Ok(());
    }
    let closed: Vec<String> = dispatches::table
        .filter(dispatches::id.eq_any(of))
        .filter(dispatches::closed_at.is_not_null())
        .select(dispatches::id)
        .load(conn)?;
    for id in closed.iter().filter_map(|id| id.parse().ok()) {
        bundle_again(conn, id, now)?;
    }
    Ok(())
}

fn record_sent(conn: &mut AnyConnection, ids: &[i64], now: NaiveDateTime) -> Result<(), DbError> {
    let not_yet = notifications::table
        .filter(notifications::id.eq_any(ids.to_vec()))
        .filter(notifications::status.ne(NotificationStatus::Sent.as_str()));
    diesel::update(not_yet)
        .set((
            notifications::status.eq(NotificationStatus::Sent.as_str()),
            notifications::attempts.eq(notifications::attempts + 1),
            notifications::error.eq(None::<String>),
            notifications::next_attempt_at.eq(None::<NaiveDateTime>),
            notifications::updated_at.eq(now),
            notifications::sent_at.eq(Some(now)),
        ))
        .execute(conn)?;
    Ok(())
}

/// Also takes the dispatch's row lock, so that the lease cannot move before the commit.
fn still_held(
    conn: &mut AnyConnection,
    (dispatch, token): (DispatchId, LeaseToken),
    now: NaiveDateTime,
) -> Result<bool, DbError> {
    Ok(diesel::update(under(dispatch, token))
        .set(dispatches::updated_at.eq(now))
        .execute(conn)?
        == 1)
}

/// `time`: what the schedule's clock says at `now`, by which the next times were reckoned.
fn record_one(
    conn: &mut AnyConnection,
    entry: &Entry,
    now: NaiveDateTime,
    time: NaiveDateTime,
) -> Result<bool, DbError> {
    let at = entry.outcome.next_time().map(|at| at + (time - now));
    let (status, error, charged) = match &entry.outcome {
        Outcome::Sent => return Ok(true),
        Outcome::Sending => return mark(conn, entry.notification, now),
        Outcome::TakenBack => return take_back(conn, entry.notification, now),
        Outcome::Again { error, .. } => (NotificationStatus::Pending, error, 1),
        Outcome::Deferred { error, .. } => (NotificationStatus::Deferred, error, 1),
        Outcome::Failed { error, attempted } => (NotificationStatus::Failed, error, i32::from(*attempted)),
        Outcome::Unknown { error, .. } => (NotificationStatus::Unknown, error, 1),
    };
    let open = notifications::table
        .filter(notifications::id.eq(entry.notification.0))
        .filter(notifications::status.eq_any(OPEN));
    let updated = diesel::update(open)
        .set((
            notifications::status.eq(status.as_str()),
            notifications::attempts.eq(notifications::attempts + charged),
            notifications::error.eq(Some(error)),
            notifications::next_attempt_at.eq(at),
            notifications::updated_at.eq(time),
        ))
        .execute(conn)?;
    Ok(updated == 1)
}

fn take_back(conn: &mut AnyConnection, id: NotificationId, now: NaiveDateTime) -> Result<bool, DbError> {
    let failed = notifications::table
        .filter(notifications::id.eq(id.0))
        .filter(notifications::status.eq(NotificationStatus::Failed.as_str()));
    let reopened = diesel::update(failed)
        .set((
            notifications::status.eq(NotificationStatus::Pending.as_str()),
            notifications::attempts.eq(notifications::attempts - 1),
            notifications::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(reopened == 1)
}

fn mark(conn: &mut AnyConnection, id: NotificationId, now: NaiveDateTime) -> Result<bool, DbError> {
    let open = notifications::table
        .filter(notifications::id.eq(id.0))
        .filter(notifications::status.eq_any(OPEN));
    let marked = diesel::update(open)
        .set((
            notifications::status.eq(NotificationStatus::Sending.as_str()),
            notifications::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(marked == 1)
}
