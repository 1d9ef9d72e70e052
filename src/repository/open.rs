//! How many dispatches are not closed, for those who watch.

use diesel::dsl::count_star;
use diesel::prelude::*;

use super::connection::AnyConnection;
use super::error::DbError;
use super::schema::dispatches;
use crate::domain::DispatchStatus;

/// What a dispatch is that is not closed.
const OPEN: [DispatchStatus; 3] = [
    DispatchStatus::Running,
    DispatchStatus::Paused,
    DispatchStatus::Waiting,
];

/// Their number for each status, none left out.
pub fn open_dispatches(conn: &mut AnyConnection) -> Result<[(DispatchStatus, u64); 3], DbError> {
    let counted: Vec<(String, i64)> = dispatches::table
        .filter(dispatches::status.eq_any(OPEN.map(DispatchStatus::as_str)))
        .group_by(dispatches::status)
        .select((dispatches::status, count_star()))
        .load(conn)?;
    Ok(OPEN.map(|status| {
        let found = counted.iter().find(|(word, _)| word == status.as_str());
        (
            status,
            found.map_or(0, |(_, count)| u64::try_from(*count).unwrap_or(0)),
        )
    }))
}
