//! Failed and unknown notifications back to work, at somebody's request. Only the rows are flipped and
//! their dispatch is made due, in one transaction: handing over is for whoever holds the lease (rule R2).

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::clock::schedule_time;
use super::connection::AnyConnection;
use super::error::DbError;
use super::schema::{dispatches, notifications};
use crate::domain::{DispatchId, DispatchStatus, NotificationId, NotificationStatus};

/// What may be tried again.
pub(super) const RETRYABLE: [&str; 2] = [
    NotificationStatus::Failed.as_str(),
    NotificationStatus::Unknown.as_str(),
];

/// How many ids one statement names: SQLite takes 32,766 values, and longer ones gain nothing.
const CHUNK: usize = 500;

/// Statuses that a retry makes due; a running dispatch finds the rows before it ends.
const REOPENED: [&str; 5] = [
    DispatchStatus::Waiting.as_str(),
    DispatchStatus::Completed.as_str(),
    DispatchStatus::Partial.as_str(),
    DispatchStatus::Failed.as_str(),
    DispatchStatus::Cancelled.as_str(),
];

/// What became of a request to retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// So many notifications are open again.
    Accepted(usize),
    /// There is no such notification or dispatch.
    NotFound,
    /// Nothing of it is failed or unknown.
    NothingToRetry,
}

/// One notification. Of many that ask at the same time one is accepted.
pub fn retry_notification(
    conn: &mut AnyConnection,
    id: NotificationId,
    now: NaiveDateTime,
) -> Result<Retried, DbError> {
    let dispatch: Option<String> = notifications::table
        .find(id.0)
        .select(notifications::dispatch_id)
        .first(conn)
        .optional()?;
    let Some(dispatch) = dispatch else {
        return Ok(Retried::NotFound);
    };
    reopen(conn, &dispatch, Rows::These(&[id.0]), now)
}

/// All of one dispatch.
pub fn retry_dispatch(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    now: NaiveDateTime,
) -> Result<Retried, DbError> {
    let dispatch = dispatch.to_string();
    let known: i64 = dispatches::table
        .filter(dispatches::id.eq(&dispatch))
        .count()
        .get_result(conn)?;
    if known == 0 {
        return Ok(Retried::NotFound);
    }
    reopen(conn, &dispatch, Rows::All, now)
}

/// The dispatches that have failed or unknown notifications, of those touched since `since`.
pub fn retryable(conn: &mut AnyConnection, since: Option<NaiveDateTime>) -> Result<Vec<DispatchId>, DbError> {
    let mut query = notifications::table
        .filter(notifications::status.eq_any(RETRYABLE))
        .select(notifications::dispatch_id)
        .distinct()
        .into_boxed::<<AnyConnection as Connection>::Backend>();
    if let Some(since) = since {
        query = query.filter(notifications::updated_at.ge(since));
    }
    let ids: Vec<String> = query.load(conn)?;
    ids.iter()
        .map(|id| {
            id.parse()
                .map_err(|e| DbError::Fault(format!("notifications.dispatch_id: {e}")))
        })
        .collect()
}

/// Which notifications of a dispatch.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rows<'a> {
    /// All of them.
    All,
    /// Those with these ids.
    These(&'a [i64]),
}

/// The dispatch's row comes first, as everywhere: its lock keeps a closing at bay until this is committed.
pub(super) fn reopen(
    conn: &mut AnyConnection,
    dispatch: &str,
    rows: Rows<'_>,
    now: NaiveDateTime,
) -> Result<Retried, DbError> {
    let now = schedule_time(conn, now)?;
    diesel::update(dispatches::table.find(dispatch))
        .set(dispatches::updated_at.eq(now))
        .execute(conn)?;
    let opened = match rows {
        Rows::All => open(conn, dispatch, None, now)?,
        Rows::These(ids) => {
            let mut opened = 0;
            for ids in ids.chunks(CHUNK) {
                opened += open(conn, dispatch, Some(ids), now)?;
            }
            opened
        }
    };
    if opened == 0 {
        return Ok(Retried::NothingToRetry);
    }
    let at_rest = dispatches::table
        .filter(dispatches::id.eq(dispatch))
        .filter(dispatches::status.eq_any(REOPENED));
    diesel::update(at_rest)
        .set((
            dispatches::status.eq(DispatchStatus::Waiting.as_str()),
            dispatches::due_at.eq(Some(now)),
            dispatches::closed_at.eq(None::<NaiveDateTime>),
            // What was wanted when it closed by itself is over.
            dispatches::wanted.eq(None::<String>),
        ))
        .execute(conn)?;
    Ok(Retried::Accepted(opened))
}

/// Flips what is failed or unknown, of all rows or of those with these ids.
fn open(
    conn: &mut AnyConnection,
    dispatch: &str,
    ids: Option<&[i64]>,
    now: NaiveDateTime,
) -> Result<usize, DbError> {
    let missed = notifications::table
        .filter(notifications::dispatch_id.eq(dispatch))
        .filter(notifications::status.eq_any(RETRYABLE))
        .filter(notifications::recipient.is_not_null());
    let change = (
        notifications::status.eq(NotificationStatus::Pending.as_str()),
        notifications::next_attempt_at.eq(None::<NaiveDateTime>),
        notifications::updated_at.eq(now),
    );
    Ok(match ids {
        None => diesel::update(missed).set(change).execute(conn)?,
        Some(ids) => {
            let named = missed.filter(notifications::id.eq_any(ids.to_vec()));
            diesel::update(named).set(change).execute(conn)?
        }
    })
}
