//! Notifications, for people and programs.

use std::str::FromStr;

use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::Segment;
use super::paging::{Page, rfc3339};
use super::problem::Problem;
use super::query::{Paging, Query};
use crate::domain::{EmailAddress, NotificationId};
use crate::repository::{self, NotificationFilter, NotificationView};

/// A notification as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Notification {
    id: i64,
    dispatch_id: String,
    #[serde(rename = "type")]
    kind: String,
    tenant_id: Option<String>,
    event_id: Option<i64>,
    order_id: Option<String>,
    channel: String,
    recipient: Option<String>,
    subject: String,
    status: String,
    attempts: i32,
    error: Option<String>,
    message_id: String,
    next_attempt_at: Option<String>,
    created_at: String,
    updated_at: String,
    sent_at: Option<String>,
}

impl From<NotificationView> for Notification {
    fn from(view: NotificationView) -> Self {
        Self {
            id: view.id,
            dispatch_id: view.dispatch_id,
            kind: view.kind,
            tenant_id: view.tenant_id,
            event_id: view.event_id,
            order_id: view.order_id,
            channel: view.channel,
            recipient: view.recipient,
            subject: view.subject,
            status: view.status,
            attempts: view.attempts,
            error: view.error,
            message_id: view.message_id,
            next_attempt_at: view.next_attempt_at.map(rfc3339),
            created_at: rfc3339(view.created_at),
            updated_at: rfc3339(view.updated_at),
            sent_at: view.sent_at.map(rfc3339),
        }
    }
}

/// Which notifications.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `parse` takes")]
pub(super) struct Which {
    /// Address, in any spelling of its domain; or what the ledger has in its place.
    #[param(max_length = 320, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    recipient: Option<String>,
    #[param(inline)]
    status: Option<super::words::NotificationStatus>,
    #[param(inline)]
    channel: Option<super::words::Channel>,
    /// The message's `type`.
    #[param(max_length = 320, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    r#type: Option<String>,
    #[param(max_length = 320, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    order_id: Option<String>,
    #[param(minimum = 1)]
    event_id: Option<i64>,
    #[param(format = "uuid")]
    dispatch_id: Option<String>,
    #[param(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    tenant_id: Option<String>,
    #[param(minimum = 1, maximum = 1_000_000_000)]
    page: Option<u32>,
    #[param(minimum = 1, maximum = 100)]
    page_size: Option<u32>,
}

/// Notifications, newest first
#[utoipa::path(get, path = "/api/v1/notifications", tag = "notifications", params(Which),
    responses((status = 200, description = "one page", body = Page<Notification>)))]
pub(super) async fn list(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<Notification>>, Problem> {
    let (filter, paging) = parse(query.as_deref())?;
    let found = api
        .db
        .read(move |conn| repository::notifications(conn, &filter, paging.page, paging.size))
        .await;
    let (items, total) = found?;
    let items = items.into_iter().map(Notification::from).collect();
    Ok(Json(Page::new(items, paging, total)))
}

/// One notification
#[utoipa::path(get, path = "/api/v1/notifications/{id}", tag = "notifications",
    params(("id" = i64, Path, minimum = 1)),
    responses((status = 200, description = "the notification", body = Notification),
              (status = 404, description = "there is none with this id")))]
pub(super) async fn one(State(api): State<Api>, Segment(id): Segment) -> Result<Json<Notification>, Problem> {
    let unknown = || Problem::not_found("there is no notification with this id");
    let id = id.parse().ok().filter(|id| *id >= 1).ok_or_else(unknown)?;
    let found = api
        .db
        .read(move |conn| repository::notification(conn, NotificationId(id)))
        .await?;
    found.map(|view| Json(view.into())).ok_or_else(unknown)
}

fn parse(query: Option<&str>) -> Result<(NotificationFilter, Paging), Problem> {
    let mut query = Query::new(query)?;
    let filter = NotificationFilter {
        recipient: query.text("recipient")?.map(as_written),
        status: query.word("status")?,
        channel: query.word("channel")?,
        kind: query.text("type")?,
        order_id: query.text("order_id")?,
        event_id: query.word("event_id")?,
        dispatch_id: query.word("dispatch_id")?,
        tenant_id: query.word("tenant_id")?,
    };
    let paging = query.paging()?;
    query.end()?;
    Ok((filter, paging))
}

/// The ledger has a domain in lower case and as A-label.
fn as_written(recipient: String) -> String {
    EmailAddress::from_str(&recipient).map_or(recipient, |a| a.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("status=nope", "status")]
    #[case("page=0", "page")]
    #[case("page=x", "page")]
    #[case("page_size=101", "page_size")]
    #[case("event_id=0", "event_id")]
    #[case("dispatch_id=1", "dispatch_id")]
    #[case("tenant_id=..", "tenant_id")]
    #[case("channel=fax", "channel")]
    #[case("recipients=a", "recipients")]
    #[case("page=1&page=2", "page")]
    #[case("page=%2B1", "page")]
    #[case("type=%00", "type")]
    fn wrong_queries_name_their_field(#[case] query: &str, #[case] field: &str) {
        assert_eq!(parse(Some(query)).unwrap_err().field.as_deref(), Some(field));
    }

    #[test]
    fn addresses_are_sought_as_the_ledger_writes_them() {
        let (filter, paging) = parse(Some("recipient=Ann%40B%C3%BCcher.example&page=2")).unwrap();
        assert_eq!(filter.recipient.as_deref(), Some("Ann@xn--bcher-kva.example"));
        assert_eq!((paging.page, paging.size), (2, 20));
    }
}
