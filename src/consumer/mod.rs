//! Deliveries from the broker, and their way back to it.
//!
//! Guarantee: a delivery is settled over the channel that brought it or not at all. Each connection is
//! a numbered session; when one is lost, its deliveries are known to be lost (the broker delivers them
//! again) and an acknowledgement that comes late never reaches another message. A dead letter is
//! confirmed by the broker before its original is acked.

mod broadcast;
mod connect;
mod dead_letter;
mod dead_letters;
mod delivery;
mod error;
mod exchange;
mod letter;
mod publisher;
mod queue;
mod redrive;
mod session;
mod source;
mod sqs;
mod supervisor;
mod topology;
mod verdict;

pub use broadcast::broadcast;
pub use delivery::Delivery;
pub use error::BrokerError;
pub use exchange::Exchange;
pub use letter::Letter;
pub use publisher::AmqpPublisher;
pub use queue::{Publisher, Queue};
pub use redrive::{Listing, Redrive, RedriveError, Redriven};
pub use source::{BrokerStatus, Source};
pub use sqs::SqsQueue;
pub use verdict::{DeadLetter, Settled, Verdict};

/// Name of the exchange over which the workers of `queue` tell each other what happens.
pub fn live_exchange_name(queue: &str) -> String {
    format!("{queue}.live")
}

/// Name of the dead-letter queue that belongs to `queue`.
pub fn dead_queue_name(queue: &str) -> String {
    format!("{queue}.dead")
}
