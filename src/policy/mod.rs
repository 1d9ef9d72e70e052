//! What is to become of a message, decided before any I/O: the [`Plan`]. It is stored with the dispatch,
//! so a dispatch keeps the identity and the words that it was accepted with.

mod stored;

use crate::domain::{EventId, Identity};
use crate::message::{Change, EventDetails, EventKind, EventMessage};

pub use stored::PlanError;

/// What a dispatch tells its recipients about an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFacts {
    /// What happened.
    pub kind: EventKind,
    /// To which event.
    pub event_id: EventId,
    /// Grows with each change of the event.
    pub version: Option<i64>,
    /// What is known of it.
    pub details: EventDetails,
    /// What changed.
    pub changes: Vec<Change>,
}

/// How one message is to be told to its audience: by e-mail, in whose name, with what to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Who it is from.
    pub identity: Identity,
    /// What it tells.
    pub facts: EventFacts,
}

/// The plan for an event message: the environment's identity, and what the message says of the event over
/// what the `events` table knows.
pub fn plan(message: &EventMessage, known: EventDetails, identity: &Identity) -> Plan {
    let facts = EventFacts {
        kind: message.kind,
        event_id: message.event_id,
        version: message.version,
        details: message.event.clone().or(known),
        changes: message.changes.clone(),
    };
    Plan {
        identity: identity.clone(),
        facts,
    }
}
