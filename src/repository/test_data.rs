//! An event with made-up participants, to try Herald with.

use diesel::prelude::*;

use super::connection::AnyConnection;
use super::error::DbError;
use super::schema::{events, participants};
use crate::domain::EventId;

/// Rows in one statement.
const CHUNK: usize = 1000;

/// Makes sure that the event exists; its title is changed only if one is given.
pub fn put_event(conn: &mut AnyConnection, id: EventId, title: Option<&str>) -> Result<(), DbError> {
    let known = events::table
        .find(id.get())
        .select(events::id)
        .first::<i64>(conn)
        .optional()?;
    match (known, title) {
        (None, title) => {
            let title = title.map_or_else(|| format!("Test event {id}"), str::to_owned);
            diesel::insert_into(events::table)
                .values((events::id.eq(id.get()), events::title.eq(Some(title))))
                .execute(conn)?;
        }
        (Some(_), Some(title)) => {
            diesel::update(events::table.find(id.get()))
                .set(events::title.eq(Some(title)))
                .execute(conn)?;
        }
        (Some(_), None) => {}
    }
    Ok(())
}

/// The addresses of an event's participants that begin like test data.
pub fn known_participants(conn: &mut AnyConnection, id: EventId) -> Result<Vec<String>, DbError> {
    Ok(participants::table
        .filter(participants::event_id.eq(id.get()))
        .filter(participants::email.like("participant%"))
        .select(participants::email)
        .load(conn)?)
}

/// Inserts participants `(address, name)` the way other systems do: three columns, the rest by default.
pub fn add_participants(
    conn: &mut AnyConnection,
    id: EventId,
    people: &[(String, String)],
) -> Result<(), DbError> {
    for chunk in people.chunks(CHUNK) {
        let rows: Vec<_> = chunk
            .iter()
            .map(|(email, name)| {
                (
                    participants::event_id.eq(id.get()),
                    participants::email.eq(email),
                    participants::name.eq(name),
                )
            })
            .collect();
        match conn {
            #[cfg(feature = "postgres")]
            AnyConnection::Postgres(c) => diesel::insert_into(participants::table)
                .values(&rows)
                .execute(c)?,
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(c) => diesel::insert_into(participants::table)
                .values(&rows)
                .execute(c)?,
            #[cfg(feature = "sqlite")]
            AnyConnection::Sqlite(c) => diesel::insert_into(participants::table)
                .values(&rows)
                .execute(c)?,
        };
    }
    Ok(())
}
