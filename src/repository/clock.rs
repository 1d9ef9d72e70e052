//! The clock of the schedule. A next time is set by one worker and looked at by another, so it is the
//! database server's time: workers whose clocks differ agree on it. `SQLite` has that of its workers.

use chrono::{NaiveDateTime, TimeDelta};
#[cfg(any(feature = "postgres", feature = "mysql"))]
use diesel::prelude::*;

use super::connection::AnyConnection;
use super::error::DbError;

#[cfg(any(feature = "postgres", feature = "mysql"))]
#[derive(QueryableByName)]
struct Time {
    #[diesel(sql_type = diesel::sql_types::Timestamp)]
    time: NaiveDateTime,
}

/// The schedule's time, where this worker's clock says `now`.
#[cfg_attr(
    not(any(feature = "postgres", feature = "mysql")),
    expect(clippy::unnecessary_wraps, reason = "there are builds with other databases")
)]
pub fn schedule_time(conn: &mut AnyConnection, now: NaiveDateTime) -> Result<NaiveDateTime, DbError> {
    match conn {
        #[cfg(feature = "postgres")]
        AnyConnection::Postgres(c) => {
            let query = "SELECT clock_timestamp() AT TIME ZONE 'UTC' AS time";
            Ok(diesel::sql_query(query).get_result::<Time>(c)?.time)
        }
        #[cfg(feature = "mysql")]
        AnyConnection::Mysql(c) => {
            let query = "SELECT UTC_TIMESTAMP(6) AS time";
            Ok(diesel::sql_query(query).get_result::<Time>(c)?.time)
        }
        #[cfg(feature = "sqlite")]
        AnyConnection::Sqlite(_) => Ok(now),
    }
}

/// What was scheduled later than this was so before the clock was set back: how long it has waited is not
/// known, so it is due.
pub(super) fn set_back(time: NaiveDateTime) -> NaiveDateTime {
    time + TimeDelta::minutes(1)
}
