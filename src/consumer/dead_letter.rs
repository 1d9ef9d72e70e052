//! What a dead letter carries: the original's properties without those that would act on it again.

use chrono::SecondsFormat;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::publisher::PERSISTENT;
use super::verdict::DeadLetter;
use crate::domain::one_line;

/// Longest `x-herald-error`, in characters.
const MAX_ERROR: usize = 1000;
/// Headers of the original are kept up to this size, in bytes: properties have to fit into one frame
/// (131,072 bytes by default), and one that does not closes the connection, again and again.
const MAX_HEADERS: usize = 120_000;
/// A reply address that closes the channel of whoever repeats it without consuming replies.
const DIRECT_REPLY: &str = "amq.rabbitmq.reply-to";

/// The properties of the dead letter `letter` whose original had `original`. Left out: what empties the
/// queue (`expiration`), routes the copy elsewhere (`CC`, `BCC`, `x-dead-letter-*`), gets it refused
/// (`user_id`) or tells a history that is not its own (`x-death`).
pub(super) fn properties(original: &BasicProperties, letter: &DeadLetter) -> BasicProperties {
    let mut headers = kept_headers(original);
    describe(&mut headers, letter);
    kept(original).with_headers(headers)
}

/// The properties of a dead letter's body when it is published anew: those of the letter without what is
/// left out of dead letters and without what Herald wrote on it.
pub(super) fn replayed(letter: &BasicProperties) -> BasicProperties {
    let headers = kept_headers(letter);
    if headers.inner().is_empty() {
        kept(letter)
    } else {
        kept(letter).with_headers(headers)
    }
}

/// All that may be repeated but the headers.
fn kept(original: &BasicProperties) -> BasicProperties {
    let mut p = BasicProperties::default().with_delivery_mode(PERSISTENT);
    if let Some(v) = original.content_type() {
        p = p.with_content_type(v.clone());
    }
    if let Some(v) = original.content_encoding() {
        p = p.with_content_encoding(v.clone());
    }
    if let Some(v) = original.priority() {
        p = p.with_priority(*v);
    }
    if let Some(v) = original.correlation_id() {
        p = p.with_correlation_id(v.clone());
    }
    if let Some(v) = original
        .reply_to()
        .as_ref()
        .filter(|v| v.as_str() != DIRECT_REPLY)
    {
        p = p.with_reply_to(v.clone());
    }
    if let Some(v) = original.message_id() {
        p = p.with_message_id(v.clone());
    }
    if let Some(v) = original.timestamp() {
        p = p.with_timestamp(*v);
    }
    if let Some(v) = original.kind() {
        p = p.with_type(v.clone());
    }
    if let Some(v) = original.app_id() {
        p = p.with_app_id(v.clone());
    }
    if let Some(v) = original.cluster_id() {
        p = p.with_cluster_id(v.clone());
    }
    p
}

fn kept_headers(original: &BasicProperties) -> FieldTable {
    let mut headers = FieldTable::default();
    if let Some(original) = original.headers() {
        if table_size(original) <= MAX_HEADERS {
            let kept = original.inner().iter().filter(|(name, _)| is_kept(name.as_str()));
            kept.for_each(|(name, value)| {
                headers.insert(name.clone(), value.clone());
            });
        } else {
            tracing::warn!("the headers of a dead letter are too large to be kept and were left out");
        }
    }
    headers
}

fn describe(headers: &mut FieldTable, letter: &DeadLetter) {
    let mut text = |name: &'static str, value: String| {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    };
    text("x-herald-reason", letter.reason.to_string());
    text("x-herald-error", one_line(&letter.error, MAX_ERROR));
    text(
        "x-herald-dead-at",
        letter.at.to_rfc3339_opts(SecondsFormat::Millis, true),
    );
    if let Some(dispatch) = letter.dispatch {
        text("x-herald-dispatch", dispatch.to_string());
    }
    headers.insert(
        "x-herald-attempts".into(),
        AMQPValue::LongLongInt(letter.attempts.into()),
    );
}

/// Ours are left out as well: they are written anew, and a dead letter that was replayed may not keep
/// the old dispatch.
fn is_kept(name: &str) -> bool {
    const PREFIXES: [&str; 4] = ["x-dead-letter-", "x-first-death-", "x-last-death-", "x-herald-"];
    !matches!(name, "CC" | "BCC" | "x-death") && !PREFIXES.iter().any(|p| name.starts_with(p))
}

/// An upper bound of a table's size on the wire, in bytes.
fn table_size(table: &FieldTable) -> usize {
    let entry = |(name, value): (&ShortString, &AMQPValue)| 2 + name.as_str().len() + value_size(value);
    4 + table.inner().iter().map(entry).sum::<usize>()
}

fn value_size(value: &AMQPValue) -> usize {
    match value {
        AMQPValue::ShortString(s) => 1 + s.as_str().len(),
        AMQPValue::LongString(s) => 4 + s.len(),
        AMQPValue::ByteArray(b) => 4 + b.len(),
        AMQPValue::FieldArray(a) => 4 + a.as_slice().iter().map(|v| 1 + value_size(v)).sum::<usize>(),
        AMQPValue::FieldTable(t) => table_size(t),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Reason;
    use chrono::DateTime;

    fn letter() -> DeadLetter {
        DeadLetter {
            reason: Reason::InvalidField,
            error: format!("event_id:\r\n{}", "x".repeat(2000)),
            attempts: 3,
            dispatch: None,
            at: DateTime::from_timestamp(1_700_000_000, 5_000_000).unwrap(),
        }
    }

    fn text(table: &FieldTable, name: &str) -> Option<String> {
        match table.inner().get(name)? {
            AMQPValue::LongString(s) => Some(s.to_string()),
            other => panic!("{name} is {other:?}"),
        }
    }

    #[test]
    fn hostile_headers_go_and_ours_come() {
        let mut given = FieldTable::default();
        let hostile = [
            "CC",
            "BCC",
            "x-death",
            "x-dead-letter-exchange",
            "x-first-death-queue",
            "x-last-death-reason",
            "x-herald-dispatch",
            "x-herald-reason",
        ];
        for name in hostile.into_iter().chain(["trace", "cc"]) {
            given.insert(name.into(), AMQPValue::LongString("v".into()));
        }
        let original = BasicProperties::default()
            .with_headers(given)
            .with_expiration("1".into())
            .with_user_id("eve".into())
            .with_reply_to(DIRECT_REPLY.into())
            .with_message_id("m-1".into());
        let made = properties(&original, &letter());
        assert_eq!(
            (made.expiration(), made.user_id(), made.reply_to()),
            (&None, &None, &None)
        );
        assert_eq!(made.delivery_mode(), &Some(2));
        assert_eq!(made.message_id().as_ref().map(ShortString::as_str), Some("m-1"));
        let table = made.headers().as_ref().unwrap();
        let names: Vec<_> = table.inner().keys().map(ShortString::as_str).collect();
        assert_eq!(
            names,
            [
                "cc",
                "trace",
                "x-herald-attempts",
                "x-herald-dead-at",
                "x-herald-error",
                "x-herald-reason"
            ]
        );
        assert_eq!(text(table, "x-herald-reason").as_deref(), Some("invalid-field"));
        assert_eq!(
            text(table, "x-herald-dead-at").as_deref(),
            Some("2023-11-14T22:13:20.005Z")
        );
        let error = text(table, "x-herald-error").unwrap();
        assert!(error.starts_with("event_id: xx") && error.chars().count() == MAX_ERROR);
    }

    #[test]
    fn a_replay_has_what_the_original_had() {
        let mut given = FieldTable::default();
        given.insert("trace".into(), AMQPValue::LongString("v".into()));
        let original = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_headers(given)
            .with_content_type("application/json".into())
            .with_message_id("m-1".into());
        assert_eq!(replayed(&properties(&original, &letter())), original);
        let bare = BasicProperties::default().with_delivery_mode(PERSISTENT);
        assert_eq!(replayed(&properties(&bare, &letter())), bare);
    }

    #[test]
    fn headers_that_fill_a_frame_are_left_out() {
        let mut given = FieldTable::default();
        given.insert(
            "big".into(),
            AMQPValue::LongString("x".repeat(MAX_HEADERS).into()),
        );
        let made = properties(&BasicProperties::default().with_headers(given), &letter());
        assert!(!made.headers().as_ref().unwrap().contains_key("big"));
    }
}
