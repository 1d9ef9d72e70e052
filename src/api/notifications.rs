//! Notifications, for people and programs.

use std::str::FromStr;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use chrono::{NaiveDateTime, SecondsFormat};
use serde::Serialize;
use url::form_urlencoded;

use super::Api;
use super::problem::Problem;
use crate::domain::{EmailAddress, NotificationId};
use crate::repository::{self, NotificationFilter, NotificationView};

/// Largest page.
const MAX_PAGE_SIZE: u32 = 100;

/// A page of notifications.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the contract names them")]
pub(super) struct Page {
    items: Vec<Notification>,
    page: u32,
    page_size: u32,
    total: i64,
}

/// A notification as the API shows it.
#[derive(Debug, Serialize)]
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

fn rfc3339(time: NaiveDateTime) -> String {
    time.and_utc().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `GET /api/v1/notifications`
pub(super) async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Json<Page>, Problem> {
    let (filter, page, page_size) = parse(query.as_deref().unwrap_or_default())?;
    let found = api
        .db
        .read(move |conn| repository::notifications(conn, &filter, page, page_size))
        .await;
    let (items, total) = found?;
    let items = items.into_iter().map(Notification::from).collect();
    Ok(Json(Page {
        items,
        page,
        page_size,
        total,
    }))
}

/// `GET /api/v1/notifications/{id}`
pub(super) async fn one(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<Notification>, Problem> {
    let unknown = || Problem::not_found("there is no notification with this id");
    let id = id.parse().ok().filter(|id| *id >= 1).ok_or_else(unknown)?;
    let found = api
        .db
        .read(move |conn| repository::notification(conn, NotificationId(id)))
        .await?;
    found.map(|view| Json(view.into())).ok_or_else(unknown)
}

fn parse(query: &str) -> Result<(NotificationFilter, u32, u32), Problem> {
    let mut filter = NotificationFilter::default();
    let (mut page, mut page_size) = (1, 20);
    let mut seen = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if seen.contains(&name) {
            return Err(Problem::bad_query(&name, "may be given once"));
        }
        let value = value.as_ref();
        match name.as_ref() {
            "recipient" => filter.recipient = Some(as_written(value)),
            "status" => filter.status = Some(word("status", value)?),
            "channel" => filter.channel = Some(word("channel", value)?),
            "type" => filter.kind = Some(value.to_owned()),
            "order_id" => filter.order_id = Some(value.to_owned()),
            "event_id" => filter.event_id = Some(word("event_id", value)?),
            "dispatch_id" => filter.dispatch_id = Some(word("dispatch_id", value)?),
            "tenant_id" => filter.tenant_id = Some(word("tenant_id", value)?),
            "page" => page = number("page", value, 1_000_000_000)?,
            "page_size" => page_size = number("page_size", value, MAX_PAGE_SIZE)?,
            other => return Err(Problem::bad_query(other, "is not a parameter of this list")),
        }
        seen.push(name);
    }
    Ok((filter, page, page_size))
}

/// The ledger has a domain in lower case and as A-label.
fn as_written(recipient: &str) -> String {
    EmailAddress::from_str(recipient).map_or_else(|_| recipient.to_owned(), |a| a.to_string())
}

fn word<T: FromStr>(field: &str, value: &str) -> Result<T, Problem>
where
    T::Err: std::fmt::Display,
{
    value
        .parse()
        .map_err(|e| Problem::bad_query(field, &format!("is not valid: {e}")))
}

fn number(field: &str, value: &str, max: u32) -> Result<u32, Problem> {
    let valid = value.parse().ok().filter(|n| (1..=max).contains(n));
    valid.ok_or_else(|| Problem::bad_query(field, &format!("takes a number from 1 to {max}")))
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
    fn wrong_queries_name_their_field(#[case] query: &str, #[case] field: &str) {
        assert_eq!(parse(query).unwrap_err().field.as_deref(), Some(field));
    }

    #[test]
    fn addresses_are_sought_as_the_ledger_writes_them() {
        let (filter, page, size) = parse("recipient=Ann%40B%C3%BCcher.example&page=2").unwrap();
        assert_eq!(filter.recipient.as_deref(), Some("Ann@xn--bcher-kva.example"));
        assert_eq!((page, size), (2, 20));
    }
}
