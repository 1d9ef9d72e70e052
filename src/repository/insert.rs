//! Inserting many rows at once, skipping those that are there already: the one thing that the three
//! databases word differently.

use diesel::prelude::*;

use super::connection::AnyConnection;
use super::error::DbError;
use super::fresh::NewNotification;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use super::pages::Columns;
use super::pages::WorkRow;
#[cfg(feature = "mysql")]
use super::pages::{last_open, open_rows};
use super::schema::notifications;
use crate::domain::DispatchId;

/// Rows a statement: each takes 11 of the 32,766 variables that SQLite has, of 65,535 elsewhere.
const AT_ONCE: usize = 1_000;

/// Inserts a page's notifications; an address that the dispatch already has is left as it is. Gives what is
/// to be handed over of those that were added, by id.
pub(super) fn insert_new(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    rows: &[NewNotification],
) -> Result<Vec<WorkRow>, DbError> {
    let mut added = Vec::with_capacity(rows.len());
    for rows in rows.chunks(AT_ONCE) {
        added.extend(insert_some(conn, dispatch, rows)?);
    }
    // Databases promise no order here.
    added.sort_unstable_by_key(|row| row.id.0);
    Ok(added)
}

fn insert_some(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    rows: &[NewNotification],
) -> Result<Vec<WorkRow>, DbError> {
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    macro_rules! insert_returning {
        ($conn:expr) => {{
            let once = (
                notifications::recipient,
                notifications::dispatch_id,
                notifications::channel,
            );
            let added: Vec<Columns> = diesel::insert_into(notifications::table)
                .values(rows)
                .on_conflict(once)
                .do_nothing()
                .returning(Columns::as_returning())
                .get_results($conn)?;
            added
                .into_iter()
                .filter(Columns::is_pending)
                .map(WorkRow::try_from)
                .collect()
        }};
    }
    #[cfg(not(feature = "mysql"))]
    let _ = dispatch;
    match conn {
        #[cfg(feature = "postgres")]
        AnyConnection::Postgres(conn) => insert_returning!(conn),
        #[cfg(feature = "sqlite")]
        AnyConnection::Sqlite(conn) => insert_returning!(conn),
        // MySQL returns nothing, so what is new is asked for: it has the highest ids.
        #[cfg(feature = "mysql")]
        AnyConnection::Mysql(_) => {
            let before = last_open(conn, dispatch)?;
            if let AnyConnection::Mysql(conn) = conn {
                diesel::insert_into(notifications::table)
                    .values(rows)
                    .on_conflict(diesel::dsl::DuplicatedKeys)
                    .do_nothing()
                    .execute(conn)?;
            }
            open_rows(conn, dispatch, before, rows.len())
        }
    }
}
