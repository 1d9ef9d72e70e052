//! Pages of dispatches, and why the notifications of one were not sent.

use diesel::dsl::{count_star, min};
use diesel::prelude::*;

use super::browse::DispatchView;
use super::connection::AnyConnection;
use super::error::DbError;
use super::schema::{dispatches, notifications};
use crate::domain::{DispatchId, DispatchStatus, EventId, NotificationStatus, TenantId};

type Backend = <AnyConnection as Connection>::Backend;

/// Groups of reasons shown at most.
const REASONS: i64 = 100;

/// What is not sent has a reason, or should have one.
const NOT_SENT: [&str; 4] = [
    NotificationStatus::Failed.as_str(),
    NotificationStatus::Unknown.as_str(),
    NotificationStatus::Deferred.as_str(),
    NotificationStatus::Suppressed.as_str(),
];

/// Which dispatches are asked for: those that fit every field that is set.
#[derive(Debug, Clone, Default)]
pub struct DispatchFilter {
    /// Status.
    pub status: Option<DispatchStatus>,
    /// The message's `type`.
    pub kind: Option<String>,
    /// Of an event's message.
    pub event_id: Option<EventId>,
    /// Of one tenant.
    pub tenant_id: Option<TenantId>,
    /// The publisher's `message_id`.
    pub message_id: Option<String>,
}

/// One page of the dispatches that fit, newest first, and how many fit in all. `page` counts from 1.
pub fn dispatch_page(
    conn: &mut AnyConnection,
    filter: &DispatchFilter,
    page: u32,
    page_size: u32,
) -> Result<(Vec<DispatchView>, i64), DbError> {
    // Both queries are built by the same steps; a boxed query cannot be used twice.
    macro_rules! fitting {
        ($query:expr) => {{
            let mut query = $query.into_boxed::<Backend>();
            if let Some(status) = filter.status {
                query = query.filter(dispatches::status.eq(status.as_str()));
            }
            if let Some(kind) = &filter.kind {
                query = query.filter(dispatches::kind.eq(kind));
            }
            if let Some(event) = filter.event_id {
                query = query.filter(dispatches::event_id.eq(event.get()));
            }
            if let Some(tenant) = &filter.tenant_id {
                query = query.filter(dispatches::tenant_id.eq(tenant.as_str()));
            }
            if let Some(message) = &filter.message_id {
                query = query.filter(dispatches::message_id.eq(message));
            }
            query
        }};
    }
    let total = fitting!(dispatches::table.select(count_star())).first(conn)?;
    let items = fitting!(dispatches::table.select(DispatchView::as_select()))
        .order(dispatches::id.desc())
        .limit(i64::from(page_size))
        .offset(i64::from(page.saturating_sub(1)) * i64::from(page_size))
        .load(conn)?;
    Ok((items, total))
}

/// Notifications of a dispatch that were not sent for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct ReasonGroup {
    /// `failed`, `unknown`, `deferred` or `suppressed`.
    pub status: String,
    /// The reason.
    pub error: Option<String>,
    /// How many.
    pub count: i64,
    /// The first of them.
    pub example: Option<i64>,
}

/// Why notifications of a dispatch were not sent, the most frequent reasons first.
pub fn reasons(conn: &mut AnyConnection, dispatch: DispatchId) -> Result<Vec<ReasonGroup>, DbError> {
    Ok(notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::status.eq_any(NOT_SENT))
        .group_by((notifications::status, notifications::error))
        .select((
            notifications::status,
            notifications::error,
            count_star(),
            min(notifications::id),
        ))
        .order(count_star().desc())
        .limit(REASONS)
        .load(conn)?)
}
