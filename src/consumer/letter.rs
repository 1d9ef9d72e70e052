//! One dead letter, as people see it.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, ShortString};

use crate::domain::one_line;
use crate::message::Reason;

/// Longest body shown, in characters.
const SHOWN_BODY: usize = 500;
/// Of a body no more is looked at, in bytes.
const HEAD: usize = 4 * SHOWN_BODY;
/// Longest explanation shown, in characters: what Herald writes is not longer.
const SHOWN_ERROR: usize = 1000;
/// Longest other text shown, in characters.
const SHOWN_WORD: usize = 255;

/// What a dead letter says of itself. Anybody may publish to the queue, so everything may be missing; all
/// texts are cleaned to one line and cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The publisher's idempotency key.
    pub message_id: Option<String>,
    /// `x-herald-reason`.
    pub reason: Option<String>,
    /// `x-herald-error`.
    pub error: Option<String>,
    /// `x-herald-attempts`.
    pub attempts: Option<i64>,
    /// `x-herald-dead-at`.
    pub dead_at: Option<String>,
    /// `x-herald-dispatch`.
    pub dispatch_id: Option<String>,
    /// Size of the body.
    pub bytes: usize,
    /// The body's beginning.
    pub body: String,
}

impl Letter {
    pub(super) fn new(delivery: &Delivery) -> Self {
        let properties = &delivery.properties;
        let word = |name| text(properties, name, SHOWN_WORD);
        Self {
            message_id: message_id(properties).map(|id| one_line(id, SHOWN_WORD)),
            reason: word("x-herald-reason"),
            error: text(properties, "x-herald-error", SHOWN_ERROR),
            attempts: header(properties, "x-herald-attempts").and_then(integer),
            dead_at: word("x-herald-dead-at"),
            dispatch_id: word("x-herald-dispatch"),
            bytes: delivery.data.len(),
            body: beginning(&delivery.data),
        }
    }

    /// Whether it is a dead letter for this reason; without one, every letter is meant.
    pub fn is_for(&self, reason: Option<Reason>) -> bool {
        reason.is_none_or(|wanted| self.reason.as_deref() == Some(wanted.as_str()))
    }
}

/// How often the broker says that it was delivered before; only queues that limit deliveries count them.
pub(super) fn deliveries(properties: &BasicProperties) -> Option<i64> {
    header(properties, "x-delivery-count").and_then(integer)
}

/// The id; an empty one counts as none.
pub(super) fn message_id(properties: &BasicProperties) -> Option<&str> {
    let id = properties.message_id().as_ref().map(ShortString::as_str);
    id.filter(|id| !id.is_empty())
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

fn text(properties: &BasicProperties, name: &str, max: usize) -> Option<String> {
    match header(properties, name)? {
        AMQPValue::LongString(s) => Some(one_line(&String::from_utf8_lossy(s.as_bytes()), max)),
        AMQPValue::ShortString(s) => Some(one_line(s.as_str(), max)),
        _ => None,
    }
}

fn integer(value: &AMQPValue) -> Option<i64> {
    match *value {
        AMQPValue::ShortShortInt(n) => Some(n.into()),
        AMQPValue::ShortInt(n) => Some(n.into()),
        AMQPValue::LongInt(n) => Some(n.into()),
        AMQPValue::LongLongInt(n) => Some(n),
        _ => None,
    }
}

pub(super) fn beginning(body: &[u8]) -> String {
    let head = &body[..body.len().min(HEAD)];
    let mut shown = one_line(&without_queries(&String::from_utf8_lossy(head)), SHOWN_BODY);
    if head.len() < body.len() && !shown.ends_with('…') {
        shown.push('…');
    }
    shown
}

/// What a URL asks for may be a secret.
fn without_queries(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut pieces = text.split("://");
    shown.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        shown.push_str("://");
        let ends = |c: char| c == '"' || c == '\'' || c == '<' || c.is_whitespace();
        let (url, rest) = piece.split_at(piece.find(ends).unwrap_or(piece.len()));
        match url.split_once('?') {
            Some((before, _)) => shown.extend([before, "?…", rest]),
            None => shown.push_str(piece),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_shown_in_one_line() {
        assert_eq!(beginning(b"{\n \"a\": \x1b[31m\xff}"), "{ \"a\": [31m\u{fffd}}");
        assert_eq!(beginning(b""), "");
        let url = br#"{"url": "https://a.b/c.pdf?key=s3cret&x=1", "more": "what? https://d.e/?f"}"#;
        let shown = r#"{"url": "https://a.b/c.pdf?…", "more": "what? https://d.e/?…"}"#;
        assert_eq!(beginning(url), shown);
        let long = beginning("ä".repeat(HEAD).as_bytes());
        assert_eq!(long.chars().count(), SHOWN_BODY);
        assert!(long.ends_with('…'));
        let blank = beginning(&[b' '; HEAD + 1]);
        assert_eq!(blank, "…");
    }
}
