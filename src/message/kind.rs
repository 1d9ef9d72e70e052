//! The closed set of types that a message may have.

use std::fmt;

use super::{EventKind, OrderKind, PipelineKind};

/// A message's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Concerns the participants of an event.
    Event(EventKind),
    /// Concerns the customer of an order.
    Order(OrderKind),
    /// Concerns those who look after a pipeline.
    Pipeline(PipelineKind),
}

impl MessageKind {
    /// All of them, in the order of the contract.
    pub fn all() -> impl Iterator<Item = Self> {
        let events = EventKind::ALL.iter().copied().map(Self::Event);
        let orders = OrderKind::ALL.iter().copied().map(Self::Order);
        let pipelines = PipelineKind::ALL.iter().copied().map(Self::Pipeline);
        events.chain(orders).chain(pipelines)
    }

    /// The word in the message.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event(kind) => kind.as_str(),
            Self::Order(kind) => kind.as_str(),
            Self::Pipeline(kind) => kind.as_str(),
        }
    }

    /// The kind that a `type` names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::all().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
