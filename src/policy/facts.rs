//! What a dispatch tells, in values that everything below it can trust.

use crate::domain::{EventId, OrderId, Severity, TenantId};
use crate::message::{Change, EventDetails, EventKind, MessageKind, Order, Report};

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Facts {
    /// About an event, to its participants.
    Event(EventFacts),
    /// About an order, to its customer.
    Order(OrderFacts),
    /// About a pipeline, to those who look after it.
    Pipeline(PipelineFacts),
}

impl Facts {
    /// The message's type.
    pub const fn kind(&self) -> MessageKind {
        match self {
            Self::Event(facts) => MessageKind::Event(facts.kind),
            Self::Order(facts) => MessageKind::Order(facts.order.kind),
            Self::Pipeline(facts) => MessageKind::Pipeline(facts.report.kind),
        }
    }

    /// The event whose participants are told.
    pub const fn event_id(&self) -> Option<EventId> {
        match self {
            Self::Event(facts) => Some(facts.event_id),
            Self::Order(_) | Self::Pipeline(_) => None,
        }
    }

    /// The order whose customer is told.
    pub const fn order_id(&self) -> Option<&OrderId> {
        match self {
            Self::Order(facts) => Some(&facts.order.order_id),
            Self::Event(_) | Self::Pipeline(_) => None,
        }
    }
}

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

/// What a dispatch tells a customer about an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderFacts {
    /// The order.
    pub order: Order,
}

/// What a dispatch tells about a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineFacts {
    /// How grave it is.
    pub severity: Severity,
    /// The publisher's title, else one that was composed from the rest.
    pub title: String,
    /// The publisher's message, else one that was composed from the rest.
    pub message: String,
    /// Whose pipeline it is.
    pub tenant_id: Option<TenantId>,
    /// What is known besides.
    pub report: Report,
}
