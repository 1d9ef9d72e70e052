//! The start of work on a dispatch, and what earlier starts that ended without release say about it. A
//! message or a row that ends the process is found: from the third such start in a row the dispatch runs in
//! quarantine, a row that was found in the middle of a handover twice is failed, and after the fifth it is
//! given up. Any committed outcome sets the count to 0.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::connection::AnyConnection;
use super::error::DbError;
use super::lease::under;
use super::schema::{dispatches, notifications};
use crate::domain::{DispatchId, LeaseToken, NotificationStatus};

/// Starts in vain before the quarantine, and before the end.
const QUARANTINE: i32 = 2;
const EXHAUSTED: i32 = 5;

/// So often in the middle of a handover when the process ended, and it is the row's doing.
const SUSPECTED: i32 = 2;

/// How a dispatch is to be worked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// As always.
    Normal,
    /// Alone, one row at a time, each marked before anything is done with it.
    Quarantined,
    /// Not at all: it is closed as `failed`.
    Exhausted,
}

/// Circumstances of a start.
#[derive(Debug, Clone, Copy)]
pub struct Starting {
    /// Which dispatch.
    pub dispatch: DispatchId,
    /// Proves the claim.
    pub token: LeaseToken,
    /// Whether rows found in the middle of a handover are left to the operator (`ON_UNKNOWN=hold`).
    pub hold: bool,
    /// Whether anything can be handed over now; a start that cannot do anything is not in vain.
    pub possible: bool,
    /// UTC.
    pub now: NaiveDateTime,
}

/// What the count says, before the start is counted.
pub fn look(conn: &mut AnyConnection, starting: Starting) -> Result<Start, DbError> {
    let vain: Option<i32> = dispatches::table
        .find(starting.dispatch.to_string())
        .select(dispatches::vain_starts)
        .first(conn)
        .optional()?;
    Ok(match vain.unwrap_or(0) {
        // A row in the middle of a handover is what ended it, and is found as such.
        n if n >= EXHAUSTED && !any_marked(conn, starting.dispatch)? => Start::Exhausted,
        n if n >= QUARANTINE => Start::Quarantined,
        _ => Start::Normal,
    })
}

fn any_marked(conn: &mut AnyConnection, dispatch: DispatchId) -> Result<bool, DbError> {
    let marked: i64 = notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::status.eq(NotificationStatus::Sending.as_str()))
        .count()
        .get_result(conn)?;
    Ok(marked > 0)
}

/// Counts the start, and settles what an earlier one left in the middle of a handover.
pub fn begin(conn: &mut AnyConnection, starting: Starting, start: Start) -> Result<(), DbError> {
    let counted = i32::from(starting.possible);
    let mine = diesel::update(under(starting.dispatch, starting.token))
        .set(dispatches::vain_starts.eq(dispatches::vain_starts + counted))
        .execute(conn)?;
    if mine != 1 {
        return Err(DbError::LeaseLost);
    }
    if starting.hold {
        hold_back(conn, starting)
    } else if start == Start::Quarantined {
        suspect(conn, starting)
    } else {
        Ok(())
    }
}

/// Nobody knows what became of them, and nobody is to be mailed twice: the operator decides.
fn hold_back(conn: &mut AnyConnection, starting: Starting) -> Result<(), DbError> {
    diesel::update(
        notifications::table
            .filter(notifications::dispatch_id.eq(starting.dispatch.to_string()))
            .filter(notifications::status.eq(NotificationStatus::Sending.as_str())),
    )
    .set((
        notifications::status.eq(NotificationStatus::Unknown.as_str()),
        notifications::attempts.eq(notifications::attempts + 1),
        notifications::error.eq(Some("dot: the worker ended during the handover")),
        notifications::updated_at.eq(starting.now),
    ))
    .execute(conn)?;
    Ok(())
}

fn suspect(conn: &mut AnyConnection, starting: Starting) -> Result<(), DbError> {
    let id = starting.dispatch.to_string();
    let sending = NotificationStatus::Sending.as_str();
    diesel::update(
        notifications::table
            .filter(notifications::dispatch_id.eq(&id))
            .filter(notifications::status.eq(sending)),
    )
    .set(notifications::suspected.eq(notifications::suspected + 1))
    .execute(conn)?;
    diesel::update(
        notifications::table
            .filter(notifications::dispatch_id.eq(&id))
            .filter(notifications::status.eq(sending))
            .filter(notifications::suspected.ge(SUSPECTED)),
    )
    .set((
        notifications::status.eq(NotificationStatus::Failed.as_str()),
        notifications::error.eq(Some("the worker ended twice while it handed this over")),
        notifications::updated_at.eq(starting.now),
    ))
    .execute(conn)?;
    unmark(conn, starting.dispatch)
}

/// Rows that were marked and are certainly not being handed over are open as before.
pub(super) fn unmark(conn: &mut AnyConnection, dispatch: DispatchId) -> Result<(), DbError> {
    diesel::update(
        notifications::table
            .filter(notifications::dispatch_id.eq(dispatch.to_string()))
            .filter(notifications::status.eq(NotificationStatus::Sending.as_str())),
    )
    .set(notifications::status.eq(NotificationStatus::Pending.as_str()))
    .execute(conn)?;
    Ok(())
}
