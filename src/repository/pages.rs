//! S3: the audience, page by page. A page's notifications are inserted and the cursor is moved in one
//! transaction under the lease, before anybody on the page is mailed: after a crash nobody is skipped,
//! and an address gets one notification per dispatch and channel however often it stands in the table.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::clock::set_back;
use super::connection::AnyConnection;
use super::error::DbError;
use super::foreign::audience;
use super::fresh::{NewNotification, Participant};
use super::insert::insert_new;
use super::lease::under;
use super::schema::{dispatches, notifications};
use super::settled::{SettledRow, last_settled, settled_rows};
use crate::domain::{Channel, DispatchId, LeaseToken, NotificationId, NotificationStatus};

/// What the ledger has to hand over: one open notification.
#[derive(Debug, Clone)]
pub struct WorkRow {
    /// Its id.
    pub id: NotificationId,
    /// By what way.
    pub channel: Channel,
    /// Whose address it is, where the participants table says so.
    pub participant_id: Option<i64>,
    /// The address.
    pub recipient: String,
    /// Name for the greeting.
    pub name: String,
    /// Message-ID, without angle brackets.
    pub message_id: String,
    /// Attempts so far.
    pub attempts: u32,
    /// UTC; the e-mail's Date.
    pub created_at: NaiveDateTime,
}

/// A page that was read.
#[derive(Debug)]
pub struct Page {
    /// Participants on it.
    pub participants: usize,
    /// Notifications that it added.
    pub rows: Vec<WorkRow>,
    /// Those that it added with their outcome.
    pub settled: Vec<SettledRow>,
    /// Whether it was the last one.
    pub end: bool,
}

/// Where and how to read.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest<'a> {
    /// Which dispatch.
    pub dispatch: DispatchId,
    /// Proves the claim.
    pub token: LeaseToken,
    /// Participants at most.
    pub size: usize,
    /// Right-hand side of the Message-IDs.
    pub domain: &'a str,
    /// UTC.
    pub now: NaiveDateTime,
}

/// Reads the next page and writes its notifications.
pub fn read_page(conn: &mut AnyConnection, request: PageRequest<'_>) -> Result<Page, DbError> {
    let PageRequest {
        dispatch,
        token,
        size,
        domain,
        now,
    } = request;
    // The write comes first: it takes the row's lock, so that a takeover waits for this page.
    let mine = diesel::update(under(dispatch, token))
        .set(dispatches::updated_at.eq(now))
        .execute(conn)?;
    if mine != 1 {
        return Err(DbError::LeaseLost);
    }
    let (event, cursor, last): (Option<i64>, i64, i64) = dispatches::table
        .find(dispatch.to_string())
        .select((
            dispatches::event_id,
            dispatches::cursor_participant_id,
            dispatches::last_participant_id,
        ))
        .first(conn)?;
    let people: Vec<Participant> = audience::table
        .filter(audience::event_id.eq(event.unwrap_or(0)))
        .filter(audience::id.gt(cursor).and(audience::id.le(last)))
        .order(audience::id)
        .limit(i64::try_from(size).unwrap_or(i64::MAX))
        .select((
            audience::id,
            audience::email,
            audience::name,
            audience::locale,
            audience::unsubscribed_at.is_not_null(),
        ))
        .load(conn)?;
    let read = people.len();
    let end = read < size;
    let cursor = if end {
        last
    } else {
        people.last().map_or(last, |p| p.0)
    };
    let fresh: Vec<NewNotification> = people
        .into_iter()
        .map(|p| NewNotification::of(p, dispatch, domain, now))
        .collect();
    // Most pages have none.
    let before = if fresh.iter().any(NewNotification::is_settled) {
        Some(last_settled(conn, dispatch)?)
    } else {
        None
    };
    let rows = insert_new(conn, dispatch, &fresh)?;
    let settled = before.map(|last| settled_rows(conn, dispatch, last));
    diesel::update(dispatches::table.find(dispatch.to_string()))
        .set(dispatches::cursor_participant_id.eq(cursor))
        .execute(conn)?;
    Ok(Page {
        participants: read,
        rows,
        settled: settled.transpose()?.unwrap_or_default(),
        end: end || cursor == last,
    })
}

/// The highest id among the pending notifications.
#[cfg(feature = "mysql")]
pub(super) fn last_open(conn: &mut AnyConnection, dispatch: DispatchId) -> Result<NotificationId, DbError> {
    let last = notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::status.eq(NotificationStatus::Pending.as_str()))
        .select(diesel::dsl::max(notifications::id))
        .first::<Option<i64>>(conn)?;
    Ok(NotificationId(last.unwrap_or(0)))
}

/// Open notifications without a next time, by id, from behind `after` on: what a resumed dispatch has
/// still to do.
pub fn open_rows(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    after: NotificationId,
    limit: usize,
) -> Result<Vec<WorkRow>, DbError> {
    let rows: Vec<Columns> = notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::status.eq_any(OPEN))
        .filter(notifications::id.gt(after.0))
        .filter(notifications::next_attempt_at.is_null())
        .order(notifications::id)
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select(Columns::as_select())
        .load(conn)?;
    rows.into_iter().map(WorkRow::try_from).collect()
}

/// Notifications whose next time has come. A time further off than any delay that was given can only
/// come from a clock that has been set back since: such a row is due as well.
pub fn due_rows(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    now: NaiveDateTime,
    longest: chrono::Duration,
    limit: usize,
) -> Result<Vec<WorkRow>, DbError> {
    let rows: Vec<Columns> = notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::status.eq(NotificationStatus::Pending.as_str()))
        .filter(
            notifications::next_attempt_at
                .le(now)
                .or(notifications::next_attempt_at.gt(now + longest))
                .or(notifications::updated_at.gt(set_back(now))),
        )
        .order(notifications::id)
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select(Columns::as_select())
        .load(conn)?;
    rows.into_iter().map(WorkRow::try_from).collect()
}

/// Whether open notifications have a next time, past or not.
pub fn is_timed(conn: &mut AnyConnection, dispatch: DispatchId) -> Result<bool, DbError> {
    let timed = notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::status.eq(NotificationStatus::Pending.as_str()))
        .filter(notifications::next_attempt_at.is_not_null());
    let first: Option<i64> = timed.select(notifications::id).first(conn).optional()?;
    Ok(first.is_some())
}

/// The earliest next time among the open notifications that are not due yet.
pub fn next_due(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    now: NaiveDateTime,
    longest: chrono::Duration,
) -> Result<Option<NaiveDateTime>, DbError> {
    Ok(notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::status.eq(NotificationStatus::Pending.as_str()))
        .filter(notifications::next_attempt_at.gt(now))
        .filter(notifications::next_attempt_at.le(now + longest))
        .filter(notifications::updated_at.le(set_back(now)))
        .select(diesel::dsl::min(notifications::next_attempt_at))
        .first(conn)?)
}

/// `pending` and `sending`.
pub(super) const OPEN: [&str; 2] = [
    NotificationStatus::Pending.as_str(),
    NotificationStatus::Sending.as_str(),
];

#[derive(Queryable, Selectable)]
#[diesel(table_name = notifications)]
pub(super) struct Columns {
    id: i64,
    status: String,
    channel: String,
    participant_id: Option<i64>,
    recipient: Option<String>,
    name: String,
    message_id: String,
    attempts: i32,
    created_at: NaiveDateTime,
}

impl Columns {
    pub(super) fn is_pending(&self) -> bool {
        self.status == NotificationStatus::Pending.as_str()
    }
}

impl TryFrom<Columns> for WorkRow {
    type Error = DbError;

    fn try_from(c: Columns) -> Result<Self, DbError> {
        let channel = c.channel.parse();
        Ok(Self {
            id: NotificationId(c.id),
            channel: channel.map_err(|e| DbError::Fault(format!("notifications.channel: {e}")))?,
            participant_id: c.participant_id,
            recipient: c.recipient.unwrap_or_default(),
            name: c.name,
            message_id: c.message_id,
            attempts: u32::try_from(c.attempts).unwrap_or(0),
            created_at: c.created_at,
        })
    }
}
