//! The calendar part (RFC 5545, RFC 5546): puts the event into its participants' calendars, moves it
//! there, and takes it out. Everything but the ATTENDEE line is the same for all recipients.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use crate::domain::{EmailAddress, Identity};
use crate::message::EventKind;

use super::Calendar;
use super::context::EventContext;
use super::facts::{EventFacts, Recipient};
use super::when;

/// Octets of a line without its CRLF (RFC 5545 3.1).
const MAX_LINE: usize = 75;

/// A calendar object that only lacks its attendee.
#[derive(Debug, Clone)]
pub(super) struct Skeleton {
    method: &'static str,
    head: String,
    tail: String,
}

impl Skeleton {
    /// `None` where the event's start is unknown.
    pub(super) fn new(
        facts: &EventFacts,
        event: &EventContext,
        identity: &Identity,
        created_at: DateTime<Utc>,
    ) -> Option<Self> {
        let (start, end) = when::span(&facts.details)?;
        let (method, status) = match facts.kind {
            EventKind::Created | EventKind::Updated => ("REQUEST", "CONFIRMED"),
            EventKind::Cancelled => ("CANCEL", "CANCELLED"),
        };
        let mut head = String::with_capacity(512);
        for line in ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Herald//Herald//EN"] {
            push_line(&mut head, line);
        }
        push_line(&mut head, &format!("METHOD:{method}"));
        push_line(&mut head, "BEGIN:VEVENT");
        push_line(
            &mut head,
            &format!("UID:event-{}@{}", facts.event_id, text(identity.address.domain())),
        );
        push_line(
            &mut head,
            &format!("SEQUENCE:{}", sequence(facts.version, created_at)),
        );
        push_line(&mut head, &format!("DTSTAMP:{}", utc(created_at)));
        push_line(&mut head, &format!("DTSTART:{}", utc(start)));
        if let Some(end) = end {
            push_line(&mut head, &format!("DTEND:{}", utc(end)));
        }
        push_line(&mut head, &format!("SUMMARY:{}", text(&event.title)));
        if let Some(location) = &event.location {
            push_line(&mut head, &format!("LOCATION:{}", text(location)));
        }
        if let Some(url) = &event.url {
            push_line(&mut head, &format!("URL:{url}"));
        }
        push_line(&mut head, &format!("STATUS:{status}"));
        let organizer = person("ORGANIZER", identity.name.as_str(), "", &identity.address);
        push_line(&mut head, &organizer);
        let tail = "END:VEVENT\r\nEND:VCALENDAR\r\n".to_owned();
        Some(Self { method, head, tail })
    }

    /// The object for one recipient, who needs not answer: who takes part is settled elsewhere.
    pub(super) fn complete(&self, recipient: &Recipient<'_>) -> Calendar {
        const TAKES_PART: &str = ";ROLE=REQ-PARTICIPANT;PARTSTAT=ACCEPTED;RSVP=FALSE";
        let attendee = person("ATTENDEE", recipient.name.as_str(), TAKES_PART, recipient.address);
        let mut body = String::with_capacity(self.head.len() + attendee.len() + self.tail.len() + 16);
        body.push_str(&self.head);
        push_line(&mut body, &attendee);
        body.push_str(&self.tail);
        Calendar {
            method: self.method,
            body,
        }
    }
}

/// SEQUENCE is an INTEGER of 32 bits (RFC 5545 3.3.8) that grows with each revision. Without a version
/// the second of the dispatch grows as well.
fn sequence(version: Option<i64>, created_at: DateTime<Utc>) -> i64 {
    version
        .unwrap_or_else(|| created_at.timestamp())
        .clamp(0, i64::from(i32::MAX))
}

fn utc(at: DateTime<Utc>) -> String {
    at.format("%Y%m%dT%H%M%SZ").to_string()
}

fn person(property: &str, name: &str, parameters: &str, address: &EmailAddress) -> String {
    let mut line = String::with_capacity(property.len() + name.len() + parameters.len() + 80);
    line.push_str(property);
    if !name.is_empty() {
        line.push_str(";CN=\"");
        push_parameter(&mut line, name);
        line.push('"');
    }
    line.push_str(parameters);
    line.push_str(":mailto:");
    push_mailto(&mut line, address.as_str());
    line
}

/// TEXT (RFC 5545 3.3.11). Line breaks are gone already; no other control character passes either.
fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    for c in value.chars().filter(|c| !c.is_control()) {
        if matches!(c, '\\' | ';' | ',') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A quoted parameter value: quotes and carets as RFC 6868 writes them.
fn push_parameter(out: &mut String, value: &str) {
    for c in value.chars().filter(|c| !c.is_control()) {
        match c {
            '"' => out.push_str("^'"),
            '^' => out.push_str("^^"),
            c => out.push(c),
        }
    }
}

/// An address in a `mailto` URI (RFC 6068 2).
fn push_mailto(out: &mut String, address: &str) {
    for b in address.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~@+!$'*".contains(&b) {
            out.push(char::from(b));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{b:02X}");
        }
    }
}

/// Appends a content line, folded between characters so that no piece exceeds 75 octets (RFC 5545 3.1).
fn push_line(out: &mut String, line: &str) {
    let mut rest = line;
    let mut room = MAX_LINE;
    while rest.len() > room {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(room));
        out.push_str(piece);
        out.push_str("\r\n ");
        rest = after;
        room = MAX_LINE - 1;
    }
    out.push_str(rest);
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("ann@example.com", "ann@example.com")]
    #[case("ann+x@example.com", "ann+x@example.com")]
    #[case("a/b?c=d&e@example.com", "a%2Fb%3Fc%3Dd%26e@example.com")]
    #[case("\"a b\"@example.com", "%22a%20b%22@example.com")]
    #[case("zoë@example.com", "zo%C3%AB@example.com")]
    #[case("a@[127.0.0.1]", "a@%5B127.0.0.1%5D")]
    fn addresses_as_uri(#[case] address: &str, #[case] uri: &str) {
        let mut out = String::new();
        push_mailto(&mut out, address);
        assert_eq!(out, uri);
    }

    #[test]
    fn text_and_parameters_are_escaped() {
        assert_eq!(text("a;b,c\\d:\"e\"\r\n"), "a\\;b\\,c\\\\d:\"e\"");
        let address: EmailAddress = "a@example.com".parse().unwrap();
        let line = person("ATTENDEE", "O\"Brien; ^n:x", "", &address);
        assert_eq!(line, "ATTENDEE;CN=\"O^'Brien; ^^n:x\":mailto:a@example.com");
        assert_eq!(
            person("ATTENDEE", "", "", &address),
            "ATTENDEE:mailto:a@example.com"
        );
    }

    #[rstest]
    #[case(Some(4), 4)]
    #[case(Some(i64::MAX), 2_147_483_647)]
    #[case(None, 1_700_000_000)]
    fn sequences_fit_32_bits(#[case] version: Option<i64>, #[case] expected: i64) {
        let created_at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        assert_eq!(sequence(version, created_at), expected);
    }

    proptest! {
        #[test]
        fn folding_is_undone_by_unfolding(line in "[a-z0-9é漢😀 ]{0,400}") {
            let mut out = String::new();
            push_line(&mut out, &line);
            prop_assert!(out.split("\r\n").all(|l| l.len() <= MAX_LINE));
            prop_assert_eq!(out.replace("\r\n ", ""), line + "\r\n");
        }
    }
}
