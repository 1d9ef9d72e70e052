//! A dispatch that ended as a dead letter, back to work when its letter is replayed.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::clock::schedule_time;
use super::connection::AnyConnection;
use super::error::DbError;
use super::given_up::rows_given_up;
use super::schema::{dispatches, notifications};
use crate::domain::{DispatchId, DispatchStatus, NotificationStatus};

/// What became of a request to reopen a dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reopened {
    /// It waits for a worker again.
    Now,
    /// It is not closed as `failed`: it was reopened before, or came to another end since.
    NotDead,
    /// There is no such dispatch; it may have been removed after RETENTION.
    NotFound,
}

/// Makes a dispatch that is closed as `failed` wait, due at once. Its rows stay as they are: what is open,
/// and pages that were not read, is for whoever takes its lease. Of many that ask, one gets
/// [`Reopened::Now`].
pub fn reopen_dead(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    now: NaiveDateTime,
) -> Result<Reopened, DbError> {
    let now = schedule_time(conn, now)?;
    let dead = dispatches::table
        .filter(dispatches::id.eq(dispatch.to_string()))
        .filter(dispatches::status.eq(DispatchStatus::Failed.as_str()))
        .filter(dispatches::closed_at.is_not_null());
    let reopened = diesel::update(dead)
        .set((
            dispatches::status.eq(DispatchStatus::Waiting.as_str()),
            dispatches::due_at.eq(Some(now)),
            dispatches::closed_at.eq(None::<NaiveDateTime>),
            dispatches::updated_at.eq(now),
            dispatches::error.eq(None::<String>),
            dispatches::wanted.eq(None::<String>),
        ))
        .execute(conn)?;
    if reopened == 1 {
        // Its copy is another message, whose end has to be proven anew.
        let named = dispatches::table
            .filter(dispatches::id.eq(dispatch.to_string()))
            .filter(dispatches::message_id.is_not_null());
        diesel::update(named)
            .set((
                dispatches::ack_proven.eq(false),
                dispatches::acking.eq(None::<String>),
            ))
            .execute(conn)?;
        open_given_up(conn, dispatch, now)?;
        return Ok(Reopened::Now);
    }
    let known: i64 = dispatches::table
        .filter(dispatches::id.eq(dispatch.to_string()))
        .count()
        .get_result(conn)?;
    Ok(if known == 0 {
        Reopened::NotFound
    } else {
        Reopened::NotDead
    })
}

/// The rows that were failed only because their dispatch was given up.
fn open_given_up(conn: &mut AnyConnection, dispatch: DispatchId, now: NaiveDateTime) -> Result<(), DbError> {
    let given_up = notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::status.eq(NotificationStatus::Failed.as_str()))
        .filter(rows_given_up());
    diesel::update(given_up)
        .set((
            notifications::status.eq(NotificationStatus::Pending.as_str()),
            notifications::error.eq(None::<String>),
            notifications::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}
