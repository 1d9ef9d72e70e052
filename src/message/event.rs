//! What a message says about an event.

use std::fmt;

use chrono::{DateTime, FixedOffset};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::domain::{EventId, TenantId};

/// What happened to the event: the message's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// `CREATED`
    Created,
    /// `UPDATED`
    Updated,
    /// `CANCELLED`
    Cancelled,
}

impl EventKind {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Created, Self::Updated, Self::Cancelled];

    /// The word in the message.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Updated => "UPDATED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// The kind that a `type` names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A change of an event, to be told to its participants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventMessage {
    /// What happened.
    pub kind: EventKind,
    /// To which event.
    pub event_id: EventId,
    /// On whose behalf.
    pub tenant_id: Option<TenantId>,
    /// Grows with each change of the same event, up to 2^63-1.
    pub version: Option<i64>,
    /// What the message itself says of the event; overrides the `events` row field by field.
    pub event: EventDetails,
    /// What changed, as the publisher words it.
    pub changes: Vec<Change>,
    /// Files to send along.
    pub attachments: Vec<Attachment>,
}

/// What is known of an event; each field may be unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventDetails {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// When it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<DateTime<FixedOffset>>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<DateTime<FixedOffset>>,
    /// The zone that its times are shown in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Tz>,
    /// Where it takes place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Its page, `http` or `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<url::Url>,
}

impl EventDetails {
    /// These details, each unknown one taken from `fallback`.
    #[must_use]
    pub fn or(self, fallback: Self) -> Self {
        Self {
            title: self.title.or(fallback.title),
            starts_at: self.starts_at.or(fallback.starts_at),
            ends_at: self.ends_at.or(fallback.ends_at),
            timezone: self.timezone.or(fallback.timezone),
            location: self.location.or(fallback.location),
            url: self.url.or(fallback.url),
        }
    }
}

/// One changed field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its name.
    pub field: String,
    /// What it was.
    pub from: Option<String>,
    /// What it is now.
    pub to: Option<String>,
}

/// A file to send along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Where it is fetched.
    pub url: url::Url,
    /// Under what name it is sent.
    pub name: String,
}
