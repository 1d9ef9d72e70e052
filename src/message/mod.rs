//! What arrives on the queue, as typed values: a [`Message`] that exists satisfies the contract.

mod event;

pub use event::{Attachment, Change, EventDetails, EventKind, EventMessage};

/// A valid message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Concerns the participants of an event.
    Event(EventMessage),
}
