//! One connection's life as a consumer: what its deliveries need to find back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, Consumer};
use tokio::sync::Mutex;

use super::connect::{close, connect, short};
use super::dead_queue_name;
use super::error::{BrokerError, within};
use super::publisher::ConfirmChannel;
use super::topology::ensure_queue;
use crate::config::BrokerConfig;

/// For everything between the login and the first delivery, and for each later call.
const CALL_LIMIT: Duration = Duration::from_secs(20);
/// For an orderly close of the channel.
const CLOSE_LIMIT: Duration = Duration::from_secs(4);

/// A connection that consumes. It is lost once and for all: a new connection is a new session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) number: u64,
    connection: Connection,
    channel: Channel,
    consumer_tag: ShortString,
    dead_letters: ConfirmChannel,
    dead_queue: String,
    prefetch: u16,
    lost: AtomicBool,
    /// Acks sent so far.
    acked: AtomicU64,
    /// Up to which of them the broker has certainly taken them in.
    proven: Mutex<u64>,
}

impl Session {
    /// Connects, makes sure of both queues, and consumes.
    pub(super) async fn open(number: u64, broker: &BrokerConfig) -> Result<(Self, Consumer), BrokerError> {
        let connection = connect(&broker.url).await?;
        match within(CALL_LIMIT, Self::consume(&connection, broker)).await {
            Ok((channel, consumer)) => {
                let session = Self {
                    number,
                    channel,
                    consumer_tag: consumer.tag(),
                    dead_letters: ConfirmChannel::default(),
                    dead_queue: dead_queue_name(&broker.queue),
                    prefetch: broker.prefetch,
                    lost: AtomicBool::new(false),
                    acked: AtomicU64::new(0),
                    proven: Mutex::new(0),
                    connection,
                };
                Ok((session, consumer))
            }
            Err(e) => {
                close(&connection).await;
                Err(e)
            }
        }
    }

    async fn consume(
        connection: &Connection,
        broker: &BrokerConfig,
    ) -> Result<(Channel, Consumer), BrokerError> {
        ensure_queue(connection, &broker.queue).await?;
        ensure_queue(connection, &dead_queue_name(&broker.queue)).await?;
        let channel = connection.create_channel().await?;
        channel
            .basic_qos(broker.prefetch, BasicQosOptions::default())
            .await?;
        let tag = format!("herald-{}", uuid::Uuid::new_v4().simple());
        let queue = short("the queue's name", &broker.queue)?;
        let options = BasicConsumeOptions::default();
        let consumer = channel
            .basic_consume(queue, tag.as_str().into(), options, FieldTable::default())
            .await?;
        Ok((channel, consumer))
    }

    /// Whether nothing can be acked over it any more.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Stops new deliveries; those in hand can still be settled.
    pub(super) async fn cancel_consumer(&self) -> Result<(), BrokerError> {
        let tag = self.consumer_tag.clone();
        within(
            CALL_LIMIT,
            self.channel.basic_cancel(tag, BasicCancelOptions::default()),
        )
        .await
    }

    /// From here on its deliveries are lost.
    pub(super) fn mark_lost(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// Marks it lost, then closes channel and connection as far as they answer.
    pub(super) async fn end(&self) {
        self.mark_lost();
        if self.channel.status().connected() {
            let _ = within(CLOSE_LIMIT, self.channel.close(200, "OK".into())).await;
        }
        close(&self.connection).await;
    }

    /// Publishes to the dead-letter queue. One that has vanished is created for the next try.
    pub(super) async fn publish_dead(
        &self,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), BrokerError> {
        let done = self
            .dead_letters
            .publish(&self.connection, &self.dead_queue, body, properties)
            .await;
        if matches!(done, Err(BrokerError::Returned(_))) {
            let again = ensure_queue(&self.connection, &self.dead_queue);
            if let Err(error) = within(CALL_LIMIT, again).await {
                tracing::warn!(queue = self.dead_queue, %error, "cannot create the dead-letter queue");
            }
        }
        done
    }

    /// The number of an ack that was just sent.
    pub(super) fn count_ack(&self) -> u64 {
        self.acked.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Whether the broker has certainly taken in the ack with this number: the answer to a later call on
    /// the same channel tells so of all that were sent before it.
    pub(super) async fn prove(&self, ack: u64) -> bool {
        let mut proven = self.proven.lock().await;
        if *proven >= ack {
            return true;
        }
        let covered = self.acked.load(Ordering::Acquire);
        // The same prefetch again changes nothing, and unlike a declare it cannot be refused.
        let call = self.channel.basic_qos(self.prefetch, BasicQosOptions::default());
        if self.is_lost() || within(CALL_LIMIT, call).await.is_err() {
            return false;
        }
        *proven = covered;
        true
    }
}
