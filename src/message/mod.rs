//! What arrives on the queue, as typed values: a [`Message`] that exists satisfies the contract.

mod event;
mod fields;
mod json;
mod parse;
mod reason;
mod refusal;
#[cfg(test)]
mod tests;

pub use event::{Attachment, Change, EventDetails, EventKind, EventMessage};
pub use parse::{MAX_ATTACHMENTS, MAX_BODY, MAX_CHANGES, parse};
pub use reason::{Reason, UnknownReason};
pub use refusal::Refusal;

/// A valid message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Concerns the participants of an event.
    Event(EventMessage),
}
