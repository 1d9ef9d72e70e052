//! Message attributes: SQS takes ten, none of them empty.

use aws_sdk_sqs::types::{Message, MessageAttributeValue};
use chrono::SecondsFormat;
use sha2::{Digest, Sha256};

use crate::consumer::DeadLetter;
use crate::domain::one_line;

/// Attributes of a message at most.
const MOST: usize = 10;

/// Longest `x-herald-error`, in characters.
const MAX_ERROR: usize = 1000;

/// The publisher's idempotency key.
const MESSAGE_ID: &str = "message_id";

/// Names and values.
pub(super) type Attributes = Vec<(String, MessageAttributeValue)>;

/// A text.
fn text(value: &str) -> Option<MessageAttributeValue> {
    // What SQS takes in no text (XML 1.0, 2.2); control characters are gone before.
    let value = value.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
    let value = if value.is_empty() { "-".to_owned() } else { value };
    MessageAttributeValue::builder()
        .data_type("String")
        .string_value(value)
        .build()
        .ok()
}

/// The key alone.
pub(super) fn with_id(message_id: &str) -> Attributes {
    let id = text(message_id).map(|value| (MESSAGE_ID.to_owned(), value));
    id.into_iter().collect()
}

/// One of a message's texts.
pub(super) fn word<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let value = message.message_attributes()?.get(name)?;
    value.string_value().filter(|value| !value.is_empty())
}

/// The publisher's key, else SQS's own.
pub(super) fn message_id(message: &Message) -> Option<String> {
    word(message, MESSAGE_ID)
        .or(message.message_id())
        .map(str::to_owned)
}

/// What a dead letter carries: ours, then the original's as far as there is room.
pub(super) fn of_letter(message: &Message, letter: &DeadLetter) -> Attributes {
    let mut all: Attributes = Vec::new();
    let mut put = |name: &str, value: &str| all.extend(text(value).map(|value| (name.to_owned(), value)));
    put("x-herald-reason", letter.reason.as_str());
    put("x-herald-error", &one_line(&letter.error, MAX_ERROR));
    put("x-herald-attempts", &letter.attempts.to_string());
    put(
        "x-herald-dead-at",
        &letter.at.to_rfc3339_opts(SecondsFormat::Millis, true),
    );
    if let Some(dispatch) = letter.dispatch {
        put("x-herald-dispatch", &dispatch.to_string());
    }
    // Without it the letter's own id would be the key when it is replayed.
    if let Some(id) = message_id(message) {
        put(MESSAGE_ID, &id);
    }
    all.extend(kept(message, MOST - all.len()));
    all
}

/// The least that a dead letter carries, where SQS does not take the rest: what a replay needs, so that nobody is
/// mailed twice by it.
pub(super) fn least_of_letter(message: &Message, letter: &DeadLetter) -> Attributes {
    let needed = ["x-herald-reason", "x-herald-dispatch", MESSAGE_ID];
    let mut all = of_letter(message, letter);
    all.retain(|(name, _)| needed.contains(&name.as_str()));
    all
}

/// What a replayed letter carries; `id` instead of the one that it has.
pub(super) fn of_replay(message: &Message, id: Option<&str>) -> Attributes {
    let mut all = id.or(word(message, MESSAGE_ID)).map(with_id).unwrap_or_default();
    all.extend(kept(message, MOST - all.len()));
    all
}

/// The publisher's own, by name.
fn kept(message: &Message, room: usize) -> Attributes {
    let all = message.message_attributes().into_iter().flatten();
    let mut own: Attributes = all
        .filter(|(name, _)| *name != MESSAGE_ID && !name.starts_with("x-herald-"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    own.sort_by(|a, b| a.0.cmp(&b.0));
    own.truncate(room);
    own
}

/// What can stand as a deduplication id: 128 letters, digits and punctuation at most.
pub(super) fn token(text: &str) -> String {
    let plain = text.len() <= 128 && text.bytes().all(|b| b.is_ascii_graphic()) && !text.is_empty();
    if plain {
        text.to_owned()
    } else {
        hex::encode(Sha256::digest(text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DispatchId;
    use crate::message::Reason;

    #[test]
    fn a_text_is_one_that_sqs_takes() {
        let value = |of: &str| text(of).and_then(|value| value.string_value);
        assert_eq!(value("a\u{ffff}\u{fffe}ü").as_deref(), Some("a\u{fffd}\u{fffd}ü"));
        assert_eq!(value("").as_deref(), Some("-"));
    }

    #[test]
    fn the_least_is_what_a_replay_needs() {
        let letter = DeadLetter {
            reason: Reason::Attachment,
            error: "x".repeat(900),
            attempts: 1,
            dispatch: Some(DispatchId::generate()),
            at: chrono::DateTime::UNIX_EPOCH,
        };
        let message = Message::builder().message_id("sqs-1").body("{}").build();
        let least = least_of_letter(&message, &letter);
        let names: Vec<&str> = least.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x-herald-reason", "x-herald-dispatch", "message_id"]);
    }
}
