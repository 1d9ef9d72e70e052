//! Deliveries from an SQS queue, and their way back to it.
//!
//! Guarantee: a message is deleted only by the receipt that brought it, and only after its dispatch ended. As
//! long as it is in hand it stays invisible to others; when that cannot be kept up, the delivery is lost and SQS
//! delivers it again.

mod attributes;
mod hold;
mod letters;
mod origin;
mod queue;
mod receiving;

pub(super) use letters::{list, redrive};
pub(super) use origin::SqsOrigin;
pub use queue::SqsQueue;
pub(super) use receiving::Receiving;
