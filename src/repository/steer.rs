//! Operators' requests to pause, resume or cancel a dispatch.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::connection::AnyConnection;
use super::error::DbError;
use super::schema::dispatches;
use crate::domain::DispatchId;

/// What became of such a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steered {
    /// It is written down; whoever works on the dispatch acts on it.
    Accepted,
    /// There is no such dispatch.
    NotFound,
    /// Not in the state in which it is.
    MakesNoSense,
}

/// Asks that nothing more of it is sent until it is resumed.
pub fn request_pause(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    _: NaiveDateTime,
) -> Result<Steered, DbError> {
    not_yet(conn, dispatch)
}

/// Asks that it goes on.
pub fn request_resume(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    _: NaiveDateTime,
) -> Result<Steered, DbError> {
    not_yet(conn, dispatch)
}

/// Asks that it ends.
pub fn request_cancel(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    _: NaiveDateTime,
) -> Result<Steered, DbError> {
    not_yet(conn, dispatch)
}

/// A dispatch cannot be steered yet.
fn not_yet(conn: &mut AnyConnection, dispatch: DispatchId) -> Result<Steered, DbError> {
    let known: i64 = dispatches::table
        .filter(dispatches::id.eq(dispatch.to_string()))
        .count()
        .get_result(conn)?;
    Ok(if known == 0 {
        Steered::NotFound
    } else {
        Steered::MakesNoSense
    })
}
