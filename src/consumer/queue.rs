//! The main queue, wherever it is. Nothing but this folder knows the difference.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::error::BrokerError;
use super::publisher::AmqpPublisher;
use super::redrive::{self, Listing, Redrive, Redriven};
use super::source::{BrokerStatus, Source};
use super::sqs::{self, SqsQueue};
use crate::config::{AwsConfig, BrokerConfig, Config, SourceKind};
use crate::message::Reason;

/// Where messages come from, and dead letters go; cheap to clone.
#[derive(Debug, Clone)]
pub enum Queue {
    /// `LAVINMQ_*`
    Amqp(BrokerConfig),
    /// `SQS_QUEUE_NAME`
    Sqs(Arc<SqsQueue>, AwsConfig),
}

impl Queue {
    /// The configured one; nothing is connected yet.
    pub fn of(config: &Config) -> Self {
        match &config.source {
            SourceKind::Amqp => Self::Amqp(config.broker.clone()),
            SourceKind::Sqs { queue } => {
                Self::Sqs(Arc::new(SqsQueue::new(&config.aws, queue)), config.aws.clone())
            }
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Amqp(broker) => &broker.queue,
            Self::Sqs(queue, _) => &queue.name,
        }
    }

    /// Where dead letters go.
    pub fn dead_name(&self) -> String {
        match self {
            Self::Amqp(broker) => super::dead_queue_name(&broker.queue),
            Self::Sqs(queue, _) => queue.dead_name(),
        }
    }

    /// Where it is, for logs.
    pub fn shown(&self) -> String {
        match self {
            Self::Amqp(broker) => broker.shown.clone(),
            Self::Sqs(queue, _) => queue.shown(),
        }
    }

    /// Begins to receive; see [`Source`]. At most `prefetch` are in hand at once.
    pub fn start(
        &self,
        prefetch: u16,
        shutdown: &CancellationToken,
    ) -> (Source, watch::Receiver<BrokerStatus>) {
        match self {
            Self::Amqp(broker) => Source::amqp(broker, shutdown),
            Self::Sqs(queue, aws) => Source::sqs(SqsQueue::new(aws, &queue.name), prefetch, shutdown),
        }
    }

    /// The dead letters with this reason among the first `limit`; none is taken away.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn letters(&self, reason: Option<Reason>, limit: u32) -> Result<Listing, BrokerError> {
        match self {
            Self::Amqp(broker) => redrive::list(broker, reason, limit).await,
            Self::Sqs(queue, _) => sqs::list(queue, reason, limit).await,
        }
    }

    /// Drops or replays the dead letters with this reason, of those that are there when it begins. `progress`
    /// is told how many were looked at and how many there are.
    pub async fn redrive(
        &self,
        what: &Redrive,
        reason: Option<Reason>,
        progress: impl FnMut(u32, u32) + Send,
    ) -> Redriven {
        match self {
            Self::Amqp(broker) => redrive::redrive(broker, what, reason, progress).await,
            Self::Sqs(queue, _) => sqs::redrive(queue, what, reason, progress).await,
        }
    }
}

/// Publishes messages as Herald's publishers do.
#[derive(Debug)]
pub enum Publisher {
    /// To AMQP.
    Amqp(Box<AmqpPublisher>, BrokerConfig),
    /// To SQS.
    Sqs(Arc<SqsQueue>),
}

impl Publisher {
    /// To the main queue; nothing is connected yet.
    pub fn new(queue: &Queue) -> Self {
        match queue {
            Queue::Amqp(broker) => Self::Amqp(Box::new(AmqpPublisher::new(broker)), broker.clone()),
            Queue::Sqs(queue, _) => Self::Sqs(Arc::clone(queue)),
        }
    }

    /// Makes sure that the queue exists; on AMQP it is created if there is none.
    ///
    /// # Errors
    /// It is not there, or cannot be asked.
    pub async fn ensure_queue(&self) -> Result<(), BrokerError> {
        match self {
            Self::Amqp(publisher, broker) => publisher.ensure_queue(&broker.queue).await,
            Self::Sqs(queue) => queue.check().await,
        }
    }

    /// Publishes `body`. `Ok` means that the broker has it; after any error it may or may not have arrived.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn publish(&self, body: &[u8], message_id: &str) -> Result<(), BrokerError> {
        match self {
            Self::Amqp(publisher, broker) => publisher.publish(&broker.queue, body, message_id).await,
            Self::Sqs(queue) => queue.publish(body, message_id).await,
        }
    }

    /// Ends in order.
    pub async fn close(self) {
        match self {
            Self::Amqp(publisher, _) => publisher.close().await,
            Self::Sqs(_) => {}
        }
    }
}
