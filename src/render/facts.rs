//! What an e-mail is made of.

use crate::domain::{DisplayName, EmailAddress, Identity};
use crate::message::{Change, EventDetails, EventKind};

pub use crate::policy::EventFacts;

/// Whom an e-mail is for.
#[derive(Debug, Clone, Copy)]
pub struct Recipient<'a> {
    /// Possibly empty.
    pub name: &'a DisplayName,
    /// The mailbox.
    pub address: &'a EmailAddress,
    /// Where this recipient can unsubscribe, `http` or `https`.
    pub unsubscribe_url: Option<&'a str>,
}

/// Made-up people, to preview and check templates with.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Whom the e-mail is from.
    pub sender: Identity,
    name: DisplayName,
    address: EmailAddress,
}

impl Sample {
    /// Ann, mailed by the Notification Service.
    pub fn new() -> Self {
        let sender = Identity {
            address: parsed("notifications@example.com"),
            name: DisplayName::clean("Notification Service"),
        };
        Self {
            sender,
            name: DisplayName::clean("Ann"),
            address: parsed("ann@example.com"),
        }
    }

    /// The same without names.
    pub(super) fn nameless() -> Self {
        let Self { sender, address, .. } = Self::new();
        let name = DisplayName::default();
        Self {
            sender: Identity {
                name: name.clone(),
                ..sender
            },
            name,
            address,
        }
    }

    /// Whom the e-mail is for.
    pub fn recipient(&self) -> Recipient<'_> {
        let unsubscribe_url = (!self.name.is_empty()).then_some("https://example.com/u/1");
        Recipient {
            name: &self.name,
            address: &self.address,
            unsubscribe_url,
        }
    }
}

impl Default for Sample {
    fn default() -> Self {
        Self::new()
    }
}

/// A constant of this file as a value: the tests call every function that has one.
fn parsed<T: std::str::FromStr>(constant: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    constant.parse().expect("the constant is valid")
}

impl EventFacts {
    /// An event of which everything is known, to preview and check templates with.
    pub fn sample(kind: EventKind) -> Self {
        let change = |field: &str, from: &str, to: &str| Change {
            field: field.to_owned(),
            from: Some(from.to_owned()),
            to: Some(to.to_owned()),
        };
        let changes = match kind {
            EventKind::Updated => vec![
                change("location", "Hall 1", "Hall 2, Exhibition Centre"),
                change(
                    "starts_at",
                    "2026-12-01T17:30:00+01:00",
                    "2026-12-01T18:00:00+01:00",
                ),
            ],
            EventKind::Created | EventKind::Cancelled => Vec::new(),
        };
        Self {
            version: Some(4),
            details: EventDetails {
                title: Some("Rust Meetup: Winter Edition".to_owned()),
                starts_at: Some(parsed("2026-12-01T18:00:00+01:00")),
                ends_at: Some(parsed("2026-12-01T21:00:00+01:00")),
                timezone: Some(chrono_tz::Europe::Berlin),
                location: Some("Hall 2, Exhibition Centre".to_owned()),
                url: Some(parsed("https://example.com/e/123")),
            },
            changes,
            ..Self::bare(kind)
        }
    }

    /// An event of which nothing but its id is known.
    pub(super) fn bare(kind: EventKind) -> Self {
        Self {
            kind,
            event_id: parsed("123"),
            version: None,
            details: EventDetails::default(),
            changes: Vec::new(),
        }
    }
}
