//! What a message says about an order.

use serde::{Deserialize, Serialize};

use super::Money;
use crate::domain::{EmailAddress, OrderId, TenantId};

/// What happened to the order: the message's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OrderKind {
    /// `order.created`
    #[serde(rename = "order.created")]
    Created,
    /// `order.status.updated`
    #[serde(rename = "order.status.updated")]
    StatusUpdated,
}

impl OrderKind {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Created, Self::StatusUpdated];

    /// The word in the message.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "order.created",
            Self::StatusUpdated => "order.status.updated",
        }
    }
}

/// A change of an order, to be told to its customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderMessage {
    /// On whose behalf.
    pub tenant_id: Option<TenantId>,
    /// Grows with each change of the same order, up to 2^63-1.
    pub version: Option<i64>,
    /// Who is told.
    pub customer: Customer,
    /// What is told.
    pub order: Order,
}

/// Whose order it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// Where the customer is told.
    pub email: EmailAddress,
    /// For the greeting.
    pub name: Option<String>,
}

/// What is known of an order, as the publisher words it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What happened.
    pub kind: OrderKind,
    /// To which order.
    pub order_id: OrderId,
    /// Such as `EUR`; of all its amounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// The sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Money>,
    /// What was ordered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
    /// How it stood before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_status: Option<String>,
    /// How it stands; always known where that is what changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many, 0 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// Of one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
}
