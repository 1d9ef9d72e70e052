//! Who is told, as far as that is known when a message is accepted.

use std::time::Duration;

use super::{Channel, DisplayName};

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Those that the participants table has for the event.
    Participants,
    /// These; at least one.
    Listed(Vec<Addressee>),
}

/// A notification that is known before anything is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    /// By what way.
    pub channel: Channel,
    /// An address, or for Slack what names the channel; `None` where nobody is known.
    pub recipient: Option<String>,
    /// For the greeting.
    pub name: DisplayName,
    /// Why nothing is sent.
    pub suppressed: Option<String>,
}

/// Holds equal messages back for a time after one was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cooldown {
    /// What equal messages have in common: at most 64 characters.
    pub key: String,
    /// For how long.
    pub period: Duration,
    /// The one notification of a message that is held back.
    pub held: Addressee,
}
