//! What becomes of a delivery at the broker.

use chrono::{DateTime, Utc};

use super::BrokerError;
use crate::domain::DispatchId;
use crate::message::Reason;

/// What is to become of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Done: the ledger owns what remains.
    Ack,
    /// Back to the queue at once, to be delivered again; any waiting was done before.
    RetryLater,
    /// Never to be processed: to the dead-letter queue, then acked.
    DeadLetter(DeadLetter),
}

/// What a dead letter says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// `x-herald-reason`.
    pub reason: Reason,
    /// `x-herald-error`, for people: cleaned to one line of at most 1,000 characters when published.
    pub error: String,
    /// `x-herald-attempts`: how often work on it was started.
    pub attempts: u32,
    /// `x-herald-dispatch`.
    pub dispatch: Option<DispatchId>,
    /// `x-herald-dead-at`.
    pub at: DateTime<Utc>,
}

/// What became of a verdict.
#[derive(Debug)]
pub enum Settled {
    /// It was carried out. An ack is on its way: [`super::Delivery::prove`] tells that it arrived.
    Done,
    /// Nothing was acked: the session is gone, and the broker delivers the message again. Also the
    /// answer to a second verdict on one delivery.
    Lost,
    /// The dead letter was not taken by the broker: the original stays unacked, try again later.
    Failed(BrokerError),
}
