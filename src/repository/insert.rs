//! Inserting many rows at once, skipping those that are there already: the one thing that the three
//! databases word differently.

use diesel::prelude::*;

use super::connection::AnyConnection;
use super::error::DbError;
use super::fresh::NewNotification;
use super::schema::notifications;

/// Rows a statement: each takes 11 of the 32,766 variables that SQLite has, of 65,535 elsewhere.
const AT_ONCE: usize = 1_000;

/// Inserts a page's notifications; an address that the dispatch already has is left as it is.
pub(super) fn insert_new(conn: &mut AnyConnection, rows: &[NewNotification]) -> Result<(), DbError> {
    rows.chunks(AT_ONCE).try_for_each(|rows| insert_some(conn, rows))
}

fn insert_some(conn: &mut AnyConnection, rows: &[NewNotification]) -> Result<(), DbError> {
    macro_rules! insert_unless {
        ($conn:expr, $conflict:expr) => {
            diesel::insert_into(notifications::table)
                .values(rows)
                .on_conflict($conflict)
                .do_nothing()
                .execute($conn)?
        };
    }
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    let once = (
        notifications::recipient,
        notifications::dispatch_id,
        notifications::channel,
    );
    match conn {
        #[cfg(feature = "postgres")]
        AnyConnection::Postgres(conn) => insert_unless!(conn, once),
        #[cfg(feature = "mysql")]
        AnyConnection::Mysql(conn) => insert_unless!(conn, diesel::dsl::DuplicatedKeys),
        #[cfg(feature = "sqlite")]
        AnyConnection::Sqlite(conn) => insert_unless!(conn, once),
    };
    Ok(())
}
