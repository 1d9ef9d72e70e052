//! What the optional `events` table knows of an event.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::connection::AnyConnection;
use super::error::DbError;
use super::foreign::{event_texts, readable};
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

/// The row of an event, if there is one. A time that is none (SQLite stores anything) counts as unknown.
pub fn event_row(conn: &mut AnyConnection, id: i64) -> Result<Option<EventRow>, DbError> {
    type Bytes = Option<Vec<u8>>;
    let texts: Option<(Bytes, Bytes, Bytes, Bytes)> = event_texts::table
        .find(id)
        .select((
            event_texts::title,
            event_texts::timezone,
            event_texts::location,
            event_texts::url,
        ))
        .first(conn)
        .optional()?;
    let Some((title, timezone, location, url)) = texts else {
        return Ok(None);
    };
    let row = events::table.find(id);
    let starts_at = known(row.select(events::starts_at).first(conn), id)?;
    let ends_at = known(row.select(events::ends_at).first(conn), id)?;
    Ok(Some(EventRow {
        title: title.map(readable),
        starts_at,
        ends_at,
        timezone: timezone.map(readable),
        location: location.map(readable),
        url: url.map(readable),
    }))
}

fn known(time: QueryResult<Option<NaiveDateTime>>, event: i64) -> Result<Option<NaiveDateTime>, DbError> {
    match time {
        Err(diesel::result::Error::DeserializationError(error)) => {
            tracing::warn!(event, %error, "a time in the events table cannot be read; sent without it");
            Ok(None)
        }
        time => Ok(time?),
    }
}
