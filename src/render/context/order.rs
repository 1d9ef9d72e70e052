//! `order`: what the e-mails about orders are made of.

use serde::Serialize;

use crate::domain::one_line;
use crate::message::{Item, OrderKind};

use super::super::facts::OrderFacts;
use super::super::text::line;

/// Longest id shown, in characters; all of it.
const MAX_ID: usize = 255;
/// Longest status shown, in characters.
const MAX_STATUS: usize = 80;
/// Longest currency shown, in characters.
const MAX_CURRENCY: usize = 12;
/// Longest name of an item shown, in characters.
const MAX_NAME: usize = 200;
/// Items shown; of the rest only the number is told.
const MAX_ITEMS: usize = 50;

/// `order`: what is known of the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderContext {
    /// `created` or `status_updated`.
    pub kind: &'static str,
    /// The order's id.
    pub id: String,
    /// How it stands.
    pub status: Option<String>,
    /// How it stood before.
    pub previous_status: Option<String>,
    /// Such as `EUR`; of all its amounts.
    pub currency: Option<String>,
    /// The sum, a decimal string.
    pub total: Option<String>,
    /// What was ordered, at most 50.
    pub items: Vec<ItemContext>,
    /// How many further items there are.
    pub more_items: usize,
}

/// `order.items`: one line of the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ItemContext {
    /// What it is.
    pub name: Option<String>,
    /// How many.
    pub quantity: Option<i64>,
    /// Of one of them, a decimal string.
    pub price: Option<String>,
    /// `quantity` times `price`, exact, where both are known.
    pub sum: Option<String>,
}

impl OrderContext {
    /// The facts, cleaned and worded.
    pub fn new(facts: &OrderFacts) -> Self {
        let order = &facts.order;
        Self {
            kind: match order.kind {
                OrderKind::Created => "created",
                OrderKind::StatusUpdated => "status_updated",
            },
            id: one_line(order.order_id.as_str(), MAX_ID),
            status: line(order.status.as_ref(), MAX_STATUS),
            previous_status: line(order.previous_status.as_ref(), MAX_STATUS),
            currency: line(order.currency.as_ref(), MAX_CURRENCY),
            total: order.total.map(|total| total.to_string()),
            items: order.items.iter().take(MAX_ITEMS).map(ItemContext::new).collect(),
            more_items: order.items.len().saturating_sub(MAX_ITEMS),
        }
    }

    /// An order of which everything is known.
    pub fn sample(kind: OrderKind) -> Self {
        Self::new(&OrderFacts::sample(kind))
    }
}

impl ItemContext {
    fn new(item: &Item) -> Self {
        let sum = item
            .price
            .zip(item.quantity)
            .and_then(|(price, n)| price.times(n));
        Self {
            name: line(item.name.as_ref(), MAX_NAME),
            quantity: item.quantity,
            price: item.price.map(|price| price.to_string()),
            sum: sum.map(|sum| sum.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_and_lists_bounded() {
        let mut facts = OrderFacts::sample(OrderKind::Created);
        facts.order.items[0].name = Some("Ticket\r\nBcc: eve@example.com".to_owned());
        facts.order.items = vec![facts.order.items[0].clone(); 53];
        let order = OrderContext::new(&facts);
        assert_eq!((order.items.len(), order.more_items), (MAX_ITEMS, 3));
        assert_eq!(order.items[0].sum.as_deref(), Some("49.90"));
        assert_eq!(
            order.items[0].name.as_deref(),
            Some("Ticket Bcc: eve@example.com")
        );
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let mut facts = OrderFacts::sample(OrderKind::Created);
        facts.order.items[0].quantity = None;
        facts.order.status = Some(" \u{200b}".to_owned());
        let order = OrderContext::new(&facts);
        assert_eq!((&order.items[0].sum, &order.status), (&None, &None));
        assert_eq!(order.items[0].price.as_deref(), Some("24.95"));
    }
}
