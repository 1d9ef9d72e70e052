//! What is done once for each key that a client chose. The key is taken, the work done and its answer kept in
//! one transaction: of many that ask at once, on whatever worker, one does it, and a crash in between leaves
//! neither key nor work.

use chrono::{NaiveDateTime, TimeDelta};
use diesel::prelude::*;

use super::clock::schedule_time;
use super::connection::AnyConnection;
use super::error::DbError;
use super::schema::idempotency;

/// How long a key is remembered.
const KEPT: TimeDelta = TimeDelta::hours(24);

/// What became of a request with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Once {
    /// It was done now.
    Done(String),
    /// It was done before: this was the answer.
    Before(String),
    /// The key came before with another body.
    OtherBody,
}

/// Does `work` unless it was done under this key before. To be called in a transaction; a `Conflict` means that
/// somebody else has just taken the key: ask again.
pub fn once(
    conn: &mut AnyConnection,
    key: &str,
    body_hash: &str,
    now: NaiveDateTime,
    work: impl FnOnce(&mut AnyConnection) -> Result<String, DbError>,
) -> Result<Once, DbError> {
    let time = schedule_time(conn, now)?;
    forget(conn, time - KEPT)?;
    let known: Option<(String, String)> = idempotency::table
        .find(key)
        .select((idempotency::body_hash, idempotency::answer))
        .first(conn)
        .optional()?;
    if let Some((hash, answer)) = known {
        return Ok(if hash == body_hash {
            Once::Before(answer)
        } else {
            Once::OtherBody
        });
    }
    // Before the work: whoever comes second waits here, and then finds the answer.
    diesel::insert_into(idempotency::table)
        .values((
            idempotency::id_key.eq(key),
            idempotency::body_hash.eq(body_hash),
            idempotency::answer.eq(""),
            idempotency::created_at.eq(time),
        ))
        .execute(conn)?;
    let answer = work(conn)?;
    diesel::update(idempotency::table.find(key))
        .set(idempotency::answer.eq(&answer))
        .execute(conn)?;
    Ok(Once::Done(answer))
}

/// Removes keys that were taken before `before`.
pub(super) fn forget(conn: &mut AnyConnection, before: NaiveDateTime) -> Result<usize, DbError> {
    let old = idempotency::table.filter(idempotency::created_at.lt(before));
    Ok(diesel::delete(old).execute(conn)?)
}
