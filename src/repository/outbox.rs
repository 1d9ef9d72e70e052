//! The outbox. Whatever closes a dispatch writes its row in the same transaction: the first close one with a
//! notice, a later one (the dispatch was reopened) one without, so that its bundle alone is finalised anew.
//! From then on the row is there until the relay has done all of it.

use chrono::{NaiveDateTime, SecondsFormat};
use diesel::prelude::*;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::clock::schedule_time;
use super::closing::{Counts, counts};
use super::connection::AnyConnection;
use super::error::DbError;
use super::schema::{completions, dispatches};
use crate::domain::{DispatchId, DispatchStatus, NotificationStatus, recipe_id};

/// What stands as it is in an id within a URL (RFC 3986, 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Longest id within a URL, in characters: a pipeline's may be as long as its message.
const MAX_ID: usize = 255;

#[derive(Queryable, Selectable)]
#[diesel(table_name = dispatches)]
struct Closed {
    kind: String,
    event_id: Option<i64>,
    order_id: Option<String>,
    body: Vec<u8>,
    notice_source: Option<String>,
}

/// To be called in the transaction that has closed a dispatch.
pub(super) fn closed(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    (status, counts): (DispatchStatus, &Counts),
    now: NaiveDateTime,
) -> Result<(), DbError> {
    let id = dispatch.to_string();
    let closed: Closed = dispatches::table
        .find(&id)
        .select(Closed::as_select())
        .first(conn)?;
    let time = schedule_time(conn, now)?;
    // Whoever is at it finalises an older bundle. It keeps its claim, as two at one bundle would spoil it; that
    // the row is due anew tells it in the end that it was closed again.
    let pending = completions::table.filter(completions::dispatch_id.eq(&id));
    let again = diesel::update(pending)
        .set(completions::next_at.eq(time))
        .execute(conn)?;
    if again > 0 {
        return Ok(());
    }
    if closed.notice_source.is_some() {
        diesel::update(dispatches::table.find(&id))
            .set(dispatches::notice_source.eq(None::<String>))
            .execute(conn)?;
    }
    let recipe = recipe_id(&closed.kind);
    diesel::insert_into(completions::table)
        .values((
            completions::completion_key.eq(format!("sqs_notifications:pending:{recipe}:{id}")),
            completions::dispatch_id.eq(&id),
            completions::recipe_id.eq(recipe),
            completions::value.eq(value(&closed, &id, (status, counts), now).to_string()),
            completions::notice.eq(closed.notice_source.is_some()),
            completions::published.eq(""),
            completions::next_at.eq(time),
            completions::created_at.eq(time),
        ))
        .execute(conn)?;
    Ok(())
}

/// Something has come that the bundle of a closed dispatch does not list. One that is open is finalised when it is
/// closed.
pub fn bundle_again(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    now: NaiveDateTime,
) -> Result<(), DbError> {
    let status: Option<String> = dispatches::table
        .find(dispatch.to_string())
        .filter(dispatches::closed_at.is_not_null())
        .select(dispatches::status)
        .first(conn)
        .optional()?;
    let Some(status) = status else { return Ok(()) };
    let status = status
        .parse()
        .map_err(|e| DbError::Fault(format!("dispatches.status: {e}")))?;
    let counts = counts(conn, dispatch)?;
    closed(conn, dispatch, (status, &counts), now)
}

/// What the notice will say, as far as it is known now.
fn value(closed: &Closed, id: &str, (status, counts): (DispatchStatus, &Counts), at: NaiveDateTime) -> Value {
    json!({
        "bundle_ref": {"bundle_id": id, "primary_url": primary_url(closed)},
        "metadata": {
            "source": closed.notice_source,
            "run_id": id,
            "status": status.as_str(),
            "sent": counts.of(NotificationStatus::Sent),
            "failed": counts.of(NotificationStatus::Failed),
        },
        "timestamp": at.and_utc().to_rfc3339_opts(SecondsFormat::Secs, true),
    })
}

/// The same of a dispatch that is there.
pub(super) fn url_of(conn: &mut AnyConnection, dispatch: DispatchId) -> Result<String, DbError> {
    let closed: Closed = dispatches::table
        .find(dispatch.to_string())
        .select(Closed::as_select())
        .first(conn)?;
    Ok(primary_url(&closed))
}

/// What the dispatch was about. A pipeline without an id is named by its message's type.
fn primary_url(closed: &Closed) -> String {
    if let Some(event) = closed.event_id {
        return format!("herald://events/{event}");
    }
    let (what, id) = match &closed.order_id {
        Some(order) => ("orders", order.clone()),
        None => (
            "pipelines",
            pipeline(closed).unwrap_or_else(|| closed.kind.clone()),
        ),
    };
    let id: String = id.chars().take(MAX_ID).collect();
    format!("herald://{what}/{}", utf8_percent_encode(&id, ENCODED))
}

fn pipeline(closed: &Closed) -> Option<String> {
    let body: Value = serde_json::from_slice(&closed.body).ok()?;
    let id = body.get("pipeline_id")?.as_str()?;
    (!id.trim().is_empty()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn closed(kind: &str, event_id: Option<i64>, order: Option<&str>, body: &str) -> Closed {
        Closed {
            kind: kind.to_owned(),
            event_id,
            order_id: order.map(str::to_owned),
            body: body.as_bytes().to_vec(),
            notice_source: None,
        }
    }

    #[rstest]
    #[case(closed("UPDATED", Some(7), None, "{}"), "event.updated", "herald://events/7")]
    #[case(closed("CREATED", Some(7), None, "{}"), "event.created", "herald://events/7")]
    #[case(
        closed("CANCELLED", Some(7), None, "{}"),
        "event.cancelled",
        "herald://events/7"
    )]
    #[case(
        closed("order.status.updated", None, Some("a/b ü"), "{}"),
        "order.status.updated",
        "herald://orders/a%2Fb%20%C3%BC"
    )]
    #[case(
        closed("pipeline_failure", None, None, r#"{"pipeline_id": "daily\u0000?x"}"#),
        "pipeline.pipeline_failure",
        "herald://pipelines/daily%00%3Fx"
    )]
    #[case(
        closed("system_error", None, None, "{}"),
        "pipeline.system_error",
        "herald://pipelines/system_error"
    )]
    fn names(#[case] closed: Closed, #[case] recipe: &str, #[case] url: &str) {
        assert_eq!(recipe_id(&closed.kind), recipe);
        assert_eq!(primary_url(&closed), url);
    }

    #[test]
    fn long_ids_have_an_end() {
        let body = json!({"pipeline_id": "\u{fffd}".repeat(100_000)}).to_string();
        let url = primary_url(&closed("pipeline_started", None, None, &body));
        assert_eq!(url.len(), "herald://pipelines/".len() + 9 * MAX_ID);
    }
}
