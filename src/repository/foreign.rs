//! The tables that other systems write, read as bytes: SQLite stores any bytes as text, and a single
//! name that is not UTF-8 must not keep a whole page from being read.

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
