//! S3: the audience, page by page. A page's notifications are inserted and the cursor is moved in one
//! transaction under the lease, before anybody on the page is mailed: after a crash nobody is skipped,
//! and an address gets one notification per dispatch and channel however often it stands in the table.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use sha2::{Digest, Sha256};

use super::connection::AnyConnection;
use super::error::DbError;
use super::foreign::{audience, no_address, readable};
use super::insert::insert_new;
use super::lease::under;
use super::schema::{dispatches, notifications};
use crate::domain::{
    Channel, DispatchId, DisplayName, EmailAddress, LeaseToken, NotificationId, NotificationStatus, one_line,
};

/// Longest locale kept, in characters.
const MAX_LOCALE: usize = 35;

/// What the ledger has to hand over: one open notification.
#[derive(Debug, Clone)]
pub struct WorkRow {
    /// Its id.
    pub id: NotificationId,
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

type Participant = (i64, Vec<u8>, Vec<u8>, Option<Vec<u8>>, bool);

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
    let before = notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::status.eq(NotificationStatus::Pending.as_str()))
        .select(diesel::dsl::max(notifications::id))
        .first::<Option<i64>>(conn)?;
    insert_new(conn, &fresh)?;
    diesel::update(dispatches::table.find(dispatch.to_string()))
        .set(dispatches::cursor_participant_id.eq(cursor))
        .execute(conn)?;
    let rows = if fresh.is_empty() {
        Vec::new()
    } else {
        open_rows(conn, dispatch, NotificationId(before.unwrap_or(0)), fresh.len())?
    };
    Ok(Page {
        participants: read,
        rows,
        end: end || cursor == last,
    })
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
    Ok(rows.into_iter().map(WorkRow::from).collect())
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
                .or(notifications::next_attempt_at.gt(now + longest)),
        )
        .order(notifications::id)
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select(Columns::as_select())
        .load(conn)?;
    Ok(rows.into_iter().map(WorkRow::from).collect())
}

/// The earliest next time among the open notifications.
pub fn next_due(conn: &mut AnyConnection, dispatch: DispatchId) -> Result<Option<NaiveDateTime>, DbError> {
    Ok(notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::status.eq(NotificationStatus::Pending.as_str()))
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
struct Columns {
    id: i64,
    participant_id: Option<i64>,
    recipient: Option<String>,
    name: String,
    message_id: String,
    attempts: i32,
    created_at: NaiveDateTime,
}

impl From<Columns> for WorkRow {
    fn from(c: Columns) -> Self {
        Self {
            id: NotificationId(c.id),
            participant_id: c.participant_id,
            recipient: c.recipient.unwrap_or_default(),
            name: c.name,
            message_id: c.message_id,
            attempts: u32::try_from(c.attempts).unwrap_or(0),
            created_at: c.created_at,
        }
    }
}

/// A row to insert.
#[derive(Debug, Insertable)]
#[diesel(table_name = notifications)]
#[diesel(treat_none_as_default_value = false)]
pub(super) struct NewNotification {
    dispatch_id: String,
    channel: &'static str,
    recipient: String,
    participant_id: i64,
    name: String,
    locale: Option<String>,
    message_id: String,
    status: &'static str,
    error: Option<String>,
    created_at: NaiveDateTime,
    updated_at: NaiveDateTime,
}

impl NewNotification {
    /// An address that can be no mailbox fails here, alone and with its reason; an unsubscribed
    /// participant is told nothing, and that is recorded.
    fn of(p: Participant, dispatch: DispatchId, domain: &str, now: NaiveDateTime) -> Self {
        let (participant_id, email, name, locale, unsubscribed) = p;
        let failed = |text: &str, why: String| {
            (
                no_address(text, participant_id),
                NotificationStatus::Failed,
                Some(why),
            )
        };
        let (recipient, status, error) = match String::from_utf8(email) {
            Err(e) => failed(&readable(e.into_bytes()), "the address is not UTF-8".to_owned()),
            Ok(email) => match email.parse::<EmailAddress>() {
                Err(why) => failed(&email, why.to_string()),
                Ok(address) if unsubscribed => (
                    address.to_string(),
                    NotificationStatus::Suppressed,
                    Some("unsubscribed".to_owned()),
                ),
                Ok(address) => (address.to_string(), NotificationStatus::Pending, None),
            },
        };
        Self {
            message_id: message_id(dispatch, Channel::Email, &recipient, domain),
            dispatch_id: dispatch.to_string(),
            channel: Channel::Email.as_str(),
            recipient,
            participant_id,
            name: DisplayName::clean(&readable(name)).as_str().to_owned(),
            locale: locale.map(|l| one_line(&readable(l), MAX_LOCALE)),
            status: status.as_str(),
            error,
            created_at: now,
            updated_at: now,
        }
    }
}

/// The Message-ID of a notification: it follows from dispatch, channel and recipient, so that every copy
/// has the same one whoever sends it.
fn message_id(dispatch: DispatchId, channel: Channel, recipient: &str, domain: &str) -> String {
    let digest = Sha256::new()
        .chain_update(channel.as_str())
        .chain_update([0])
        .chain_update(recipient)
        .finalize();
    format!("{}.{}@{domain}", dispatch.simple(), hex::encode(&digest[..8]))
}
