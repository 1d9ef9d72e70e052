//! The tables that other systems write, read as bytes: SQLite stores any bytes as text, and a single
//! name that is not UTF-8 must not keep a whole page from being read.

use crate::domain::{EmailAddress, one_line};

/// Longest text kept for an address that is none, in characters.
const MAX_RECIPIENT: usize = 320;

diesel::table! {
    #[sql_name = "participants"]
    audience (id) {
        id -> BigInt,
        event_id -> BigInt,
        email -> Binary,
        name -> Binary,
        locale -> Nullable<Binary>,
        unsubscribed_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    #[sql_name = "events"]
    event_texts (id) {
        id -> BigInt,
        title -> Nullable<Binary>,
        timezone -> Nullable<Binary>,
        location -> Nullable<Binary>,
        url -> Nullable<Binary>,
    }
}

/// What is text in `bytes`, with U+FFFD for what is not.
pub(super) fn readable(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// What is kept of an address that is none. It is never one itself: cleaned of what made it impossible
/// it could equal a good address, and would take that one's only place in the ledger.
pub(super) fn no_address(text: &str, participant: i64) -> String {
    let shown = one_line(text, MAX_RECIPIENT);
    if shown.parse::<EmailAddress>().is_ok() {
        format!("{shown} (participant {participant})")
    } else {
        shown
    }
}
