//! What the optional `events` table knows of an event.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::connection::AnyConnection;
use super::error::DbError;
use super::schema::events;

/// A row of `events`, as somebody else wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventRow {
    /// Its name.
    pub title: Option<String>,
    /// UTC.
    pub starts_at: Option<NaiveDateTime>,
    /// UTC.
    pub ends_at: Option<NaiveDateTime>,
    /// IANA name.
    pub timezone: Option<String>,
    /// Where it takes place.
    pub location: Option<String>,
    /// Its page.
    pub url: Option<String>,
}

/// The row of an event, if there is one. A time that is none (SQLite stores any text) counts as unknown.
pub fn event_row(conn: &mut AnyConnection, id: i64) -> Result<Option<EventRow>, DbError> {
    type Texts = (Option<String>, Option<String>, Option<String>, Option<String>);
    let row = events::table.find(id);
    let texts: Option<Texts> = row
        .select((events::title, events::timezone, events::location, events::url))
        .first(conn)
        .optional()?;
    let Some((title, timezone, location, url)) = texts else {
        return Ok(None);
    };
    let starts_at = readable(row.select(events::starts_at).first(conn), id)?;
    let ends_at = readable(row.select(events::ends_at).first(conn), id)?;
    Ok(Some(EventRow {
        title,
        starts_at,
        ends_at,
        timezone,
        location,
        url,
    }))
}

fn readable(time: QueryResult<Option<NaiveDateTime>>, event: i64) -> Result<Option<NaiveDateTime>, DbError> {
    match time {
        Err(diesel::result::Error::DeserializationError(error)) => {
            tracing::warn!(event, %error, "a time in the events table cannot be read; sent without it");
            Ok(None)
        }
        time => Ok(time?),
    }
}
