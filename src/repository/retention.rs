//! Removal of what is older than RETENTION, in small steps: a long transaction would hold up the worker.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::connection::AnyConnection;
use super::cooldown;
use super::error::DbError;
use super::idempotency;
use super::schema::{completions, dispatches, notifications};
use crate::domain::DispatchStatus;

/// Rows removed in one step at most.
const STEP: i64 = 1000;

/// Removes up to a thousand rows of the longest closed dispatch that was closed before `before`, then the
/// dispatch itself; never of one whose completion is pending. Returns how many rows went; 0: nothing is left to remove.
pub fn forget(conn: &mut AnyConnection, before: NaiveDateTime) -> Result<usize, DbError> {
    let closed = DispatchStatus::ALL
        .iter()
        .filter(|s| s.is_closed())
        .map(|s| s.as_str());
    let oldest: Option<String> = dispatches::table
        .filter(dispatches::status.eq_any(closed.collect::<Vec<_>>()))
        .filter(dispatches::closed_at.lt(before))
        .filter(dispatches::id.ne_all(completions::table.select(completions::dispatch_id)))
        .order(dispatches::closed_at)
        .select(dispatches::id)
        .first(conn)
        .optional()?;
    let Some(oldest) = oldest else {
        let keys = idempotency::forget(conn, before)?;
        return Ok(keys + cooldown::forget(conn, before)?);
    };
    let rows: Vec<i64> = notifications::table
        .filter(notifications::dispatch_id.eq(&oldest))
        .limit(STEP)
        .select(notifications::id)
        .load(conn)?;
    if rows.is_empty() {
        return Ok(diesel::delete(dispatches::table.find(&oldest)).execute(conn)?);
    }
    Ok(diesel::delete(notifications::table.filter(notifications::id.eq_any(rows))).execute(conn)?)
}
