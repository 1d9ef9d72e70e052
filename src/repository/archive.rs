//! What a bundle is made of, as far as the ledger has it.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::connection::AnyConnection;
use super::error::DbError;
use super::outbox;
use super::pages::{Columns as RowColumns, WorkRow};
use super::schema::{dispatches, notifications};
use crate::domain::{Channel, DispatchId, NotificationId, NotificationStatus};

/// Rows read at once.
const STEP: i64 = 1_000;

/// What may have reached its recipient.
const HANDED_OVER: [&str; 2] = [
    NotificationStatus::Sent.as_str(),
    NotificationStatus::Unknown.as_str(),
];

/// What the bundle of a dispatch says of it.
#[derive(Debug, Clone)]
pub struct Told {
    /// What it was about.
    pub primary_url: String,
    /// The message as it was received.
    pub body: Vec<u8>,
    /// Its id.
    pub message_id: Option<String>,
    /// The plan that it was accepted with.
    pub plan: String,
    /// The dispatch's status.
    pub status: String,
    /// Why it ended so, where somebody has to know.
    pub error: Option<String>,
    /// When it was accepted.
    pub created_at: NaiveDateTime,
    /// When it was closed.
    pub closed_at: Option<NaiveDateTime>,
    /// Starts so far.
    pub starts: i32,
    /// Equal messages that were held back before it.
    pub held_back: u64,
}

/// What is known of a dispatch; none where the ledger does not have it.
pub fn told(conn: &mut AnyConnection, dispatch: DispatchId) -> Result<Option<Told>, DbError> {
    type Columns = (
        Vec<u8>,
        Option<String>,
        String,
        String,
        Option<String>,
        NaiveDateTime,
        Option<NaiveDateTime>,
        i32,
        i64,
    );
    let row: Option<Columns> = dispatches::table
        .find(dispatch.to_string())
        .select((
            dispatches::body,
            dispatches::message_id,
            dispatches::plan,
            dispatches::status,
            dispatches::error,
            dispatches::created_at,
            dispatches::closed_at,
            dispatches::starts,
            dispatches::held_back,
        ))
        .first(conn)
        .optional()?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Told {
        primary_url: outbox::url_of(conn, dispatch)?,
        body: row.0,
        message_id: row.1,
        plan: row.2,
        status: row.3,
        error: row.4,
        created_at: row.5,
        closed_at: row.6,
        starts: row.7,
        held_back: u64::try_from(row.8).unwrap_or(0),
    }))
}

/// How many e-mails of a dispatch may have reached their recipients.
pub fn handed_over(conn: &mut AnyConnection, dispatch: DispatchId) -> Result<u64, DbError> {
    let count: i64 = notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::channel.eq(Channel::Email.as_str()))
        .filter(notifications::status.eq_any(HANDED_OVER))
        .count()
        .get_result(conn)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Up to a thousand of them, from behind `after` on.
pub fn handed_over_rows(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    after: NotificationId,
) -> Result<Vec<WorkRow>, DbError> {
    let rows: Vec<RowColumns> = notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::channel.eq(Channel::Email.as_str()))
        .filter(notifications::status.eq_any(HANDED_OVER))
        .filter(notifications::id.gt(after.0))
        .order(notifications::id)
        .limit(STEP)
        .select(RowColumns::as_select())
        .load(conn)?;
    rows.into_iter().map(WorkRow::try_from).collect()
}

/// Message-ID and address of all of them.
pub fn handed_over_ids(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
) -> Result<BTreeMap<String, String>, DbError> {
    let rows: Vec<(String, Option<String>)> = notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::channel.eq(Channel::Email.as_str()))
        .filter(notifications::status.eq_any(HANDED_OVER))
        .select((notifications::message_id, notifications::recipient))
        .load(conn)?;
    let named = rows.into_iter().map(|(id, to)| (id, to.unwrap_or_default()));
    Ok(named.collect())
}
