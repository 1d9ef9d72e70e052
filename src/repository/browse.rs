//! Questions of people: which notifications and dispatches there are.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::connection::AnyConnection;
use super::error::DbError;
use super::schema::{dispatches, notifications, participants};
use crate::domain::{Channel, DispatchId, EventId, NotificationId, NotificationStatus, TenantId};

type Backend = <AnyConnection as Connection>::Backend;

/// Which notifications are asked for: those that fit every field that is set.
#[derive(Debug, Clone, Default)]
pub struct NotificationFilter {
    /// Address, as the ledger writes it.
    pub recipient: Option<String>,
    /// Status.
    pub status: Option<NotificationStatus>,
    /// Channel.
    pub channel: Option<Channel>,
    /// The message's `type`.
    pub kind: Option<String>,
    /// Of an order's message.
    pub order_id: Option<String>,
    /// Of an event's message.
    pub event_id: Option<EventId>,
    /// Of one dispatch.
    pub dispatch_id: Option<DispatchId>,
    /// Of one tenant.
    pub tenant_id: Option<TenantId>,
}

/// A notification with what its dispatch says of it.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = notifications)]
pub struct NotificationView {
    /// Its id.
    pub id: i64,
    /// Its dispatch.
    pub dispatch_id: String,
    /// The message's `type`.
    #[diesel(select_expression = dispatches::kind)]
    pub kind: String,
    /// On whose behalf.
    #[diesel(select_expression = dispatches::tenant_id)]
    pub tenant_id: Option<String>,
    /// Of which event.
    #[diesel(select_expression = dispatches::event_id)]
    pub event_id: Option<i64>,
    /// Of which order.
    #[diesel(select_expression = dispatches::order_id)]
    pub order_id: Option<String>,
    /// By what way.
    pub channel: String,
    /// To whom.
    pub recipient: Option<String>,
    /// Subject of the e-mail.
    #[diesel(select_expression = dispatches::subject)]
    pub subject: String,
    /// What has become of it.
    pub status: String,
    /// Attempts made.
    pub attempts: i32,
    /// Why it is not sent.
    pub error: Option<String>,
    /// Message-ID, without angle brackets.
    pub message_id: String,
    /// UTC.
    pub next_attempt_at: Option<NaiveDateTime>,
    /// UTC.
    pub created_at: NaiveDateTime,
    /// UTC.
    pub updated_at: NaiveDateTime,
    /// UTC.
    pub sent_at: Option<NaiveDateTime>,
}

/// One page of the notifications that fit, newest first, and how many fit in all. `page` counts from 1.
pub fn notifications(
    conn: &mut AnyConnection,
    filter: &NotificationFilter,
    page: u32,
    page_size: u32,
) -> Result<(Vec<NotificationView>, i64), DbError> {
    // Both queries are built by the same steps; a boxed query cannot be used twice.
    macro_rules! fitting {
        ($query:expr) => {{
            let mut query = $query.into_boxed::<Backend>();
            if let Some(recipient) = &filter.recipient {
                query = query.filter(notifications::recipient.eq(recipient));
            }
            if let Some(status) = filter.status {
                query = query.filter(notifications::status.eq(status.as_str()));
            }
            if let Some(channel) = filter.channel {
                query = query.filter(notifications::channel.eq(channel.as_str()));
            }
            if let Some(kind) = &filter.kind {
                query = query.filter(dispatches::kind.eq(kind));
            }
            if let Some(order) = &filter.order_id {
                query = query.filter(dispatches::order_id.eq(order));
            }
            if let Some(event) = filter.event_id {
                query = query.filter(dispatches::event_id.eq(event.get()));
            }
            if let Some(dispatch) = filter.dispatch_id {
                query = query.filter(notifications::dispatch_id.eq(dispatch.to_string()));
            }
            if let Some(tenant) = &filter.tenant_id {
                query = query.filter(dispatches::tenant_id.eq(tenant.as_str()));
            }
            query
        }};
    }
    let joined = notifications::table.inner_join(dispatches::table);
    let total = fitting!(joined.select(diesel::dsl::count_star())).first(conn)?;
    let items = fitting!(joined.select(NotificationView::as_select()))
        .order(notifications::id.desc())
        .limit(i64::from(page_size))
        .offset(i64::from(page.saturating_sub(1)) * i64::from(page_size))
        .load(conn)?;
    Ok((items, total))
}

/// One notification.
pub fn notification(
    conn: &mut AnyConnection,
    id: NotificationId,
) -> Result<Option<NotificationView>, DbError> {
    Ok(notifications::table
        .inner_join(dispatches::table)
        .filter(notifications::id.eq(id.0))
        .select(NotificationView::as_select())
        .first(conn)
        .optional()?)
}

/// A dispatch, for people.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = dispatches)]
pub struct DispatchView {
    /// Its id.
    pub id: String,
    /// The message's `type`.
    pub kind: String,
    /// On whose behalf.
    pub tenant_id: Option<String>,
    /// Of which event.
    pub event_id: Option<i64>,
    /// Of which order.
    pub order_id: Option<String>,
    /// The publisher's `message_id`.
    pub message_id: Option<String>,
    /// What has become of it.
    pub status: String,
    /// Where its audience ends.
    pub last_participant_id: i64,
    /// How far its audience is read.
    pub cursor_participant_id: i64,
    /// Why it cannot go on.
    pub error: Option<String>,
    /// UTC.
    pub created_at: NaiveDateTime,
    /// UTC.
    pub updated_at: NaiveDateTime,
    /// UTC.
    pub closed_at: Option<NaiveDateTime>,
}

/// The newest dispatches.
pub fn dispatches(conn: &mut AnyConnection, limit: u32) -> Result<Vec<DispatchView>, DbError> {
    Ok(dispatches::table
        .order(dispatches::id.desc())
        .limit(i64::from(limit))
        .select(DispatchView::as_select())
        .load(conn)?)
}

/// One dispatch.
pub fn dispatch(conn: &mut AnyConnection, id: DispatchId) -> Result<Option<DispatchView>, DbError> {
    Ok(dispatches::table
        .find(id.to_string())
        .select(DispatchView::as_select())
        .first(conn)
        .optional()?)
}

/// A recipient who was not reached, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct Missed {
    /// The notification.
    pub id: i64,
    /// To whom.
    pub recipient: Option<String>,
    /// `failed` or `unknown`.
    pub status: String,
    /// Attempts made.
    pub attempts: i32,
    /// Why.
    pub error: Option<String>,
}

/// The failed and unknown recipients of a dispatch, oldest first.
pub fn missed(conn: &mut AnyConnection, id: DispatchId, limit: u32) -> Result<Vec<Missed>, DbError> {
    Ok(notifications::table
        .filter(notifications::dispatch_id.eq(id.to_string()))
        .filter(notifications::status.eq_any([
            NotificationStatus::Failed.as_str(),
            NotificationStatus::Unknown.as_str(),
        ]))
        .order(notifications::id)
        .limit(i64::from(limit))
        .select((
            notifications::id,
            notifications::recipient,
            notifications::status,
            notifications::attempts,
            notifications::error,
        ))
        .load(conn)?)
}

/// How many participants an event has now.
pub fn audience(conn: &mut AnyConnection, event_id: i64) -> Result<u64, DbError> {
    let n: i64 = participants::table
        .filter(participants::event_id.eq(event_id))
        .count()
        .get_result(conn)?;
    Ok(u64::try_from(n).unwrap_or(0))
}

/// How many notifications of the event's newest dispatch are no longer open.
pub fn settled(conn: &mut AnyConnection, event_id: i64) -> Result<u64, DbError> {
    let newest: Option<String> = dispatches::table
        .filter(dispatches::event_id.eq(event_id))
        .order(dispatches::id.desc())
        .select(dispatches::id)
        .first(conn)
        .optional()?;
    let Some(newest) = newest else { return Ok(0) };
    let n: i64 = notifications::table
        .filter(notifications::dispatch_id.eq(newest))
        .filter(notifications::status.ne_all(super::pages::OPEN))
        .count()
        .get_result(conn)?;
    Ok(u64::try_from(n).unwrap_or(0))
}
