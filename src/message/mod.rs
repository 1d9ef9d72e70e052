//! What arrives on the queue, as typed values: a [`Message`] that exists satisfies the contract.

mod event;
mod fields;
pub(crate) mod json;
mod kind;
mod money;
mod order;
mod parse;
mod pipeline;
mod reason;
mod recipe;
mod refusal;
#[cfg(test)]
mod tests;

pub use event::{Attachment, Change, EventDetails, EventKind, EventMessage};
pub use kind::MessageKind;
pub use money::{Money, MoneyError};
pub use order::{Customer, Item, Order, OrderKind, OrderMessage};
pub use parse::{MAX_ATTACHMENTS, MAX_BODY, MAX_CHANGES, MAX_ENTRIES, parse};
pub use pipeline::{Detail, PipelineKind, PipelineMessage, Report};
pub use reason::{Reason, UnknownReason};
pub use recipe::{Recipe, UnknownRecipe};
pub use refusal::Refusal;

use crate::domain::TenantId;

/// A valid message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Concerns the participants of an event.
    Event(EventMessage),
    /// Concerns the customer of an order.
    Order(OrderMessage),
    /// Concerns those who look after a pipeline.
    Pipeline(PipelineMessage),
}

impl Message {
    /// Its type.
    pub const fn kind(&self) -> MessageKind {
        match self {
            Self::Event(event) => MessageKind::Event(event.kind),
            Self::Order(message) => MessageKind::Order(message.order.kind),
            Self::Pipeline(message) => MessageKind::Pipeline(message.report.kind),
        }
    }

    /// On whose behalf.
    pub const fn tenant_id(&self) -> Option<&TenantId> {
        match self {
            Self::Event(event) => event.tenant_id.as_ref(),
            Self::Order(message) => message.tenant_id.as_ref(),
            Self::Pipeline(message) => message.tenant_id.as_ref(),
        }
    }

    /// Which of several changes it is.
    pub const fn version(&self) -> Option<i64> {
        match self {
            Self::Event(event) => event.version,
            Self::Order(message) => message.version,
            Self::Pipeline(message) => message.version,
        }
    }
}
