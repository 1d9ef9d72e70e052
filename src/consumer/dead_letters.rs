//! The dead-letter queue, looked through from its head.
//!
//! Guarantee: looking takes nothing away. Letters are fetched without an ack on a channel of its own; what
//! was not acked when the channel ends, in whatever way, is back in its place. The one exception is a queue
//! that limits deliveries (a quorum queue, say), for which each look is one: that is warned of.

use std::time::Duration;

use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::{BasicProperties, Channel, Connection};

use super::connect::{close, connect, short};
use super::dead_queue_name;
use super::error::{BrokerError, within};
use super::letter::deliveries;
use super::publisher::ConfirmChannel;
use super::topology::{count_ready, ensure_queue};
use crate::config::BrokerConfig;

/// For each call.
const CALL_LIMIT: Duration = Duration::from_secs(20);

/// A look through the letters that were there when it began. Later ones are not seen, so it ends even if
/// each replayed letter comes back at once.
pub(super) struct DeadLetters {
    connection: Connection,
    channel: Channel,
    publisher: ConfirmChannel,
    queue: String,
    dead: String,
    /// Letters that were there.
    pub(super) there: u32,
    /// Letters fetched.
    pub(super) looked: u32,
    warned: bool,
}

impl DeadLetters {
    /// Connects and counts. Without a dead-letter queue there are no letters, and none is created.
    pub(super) async fn open(broker: &BrokerConfig) -> Result<Self, BrokerError> {
        let connection = connect(&broker.url).await?;
        let dead = dead_queue_name(&broker.queue);
        let begin = async {
            let there = count_ready(&connection, &dead).await?.unwrap_or(0);
            Ok::<_, BrokerError>((there, connection.create_channel().await?))
        };
        match within(CALL_LIMIT, begin).await {
            Ok((there, channel)) => Ok(Self {
                connection,
                channel,
                publisher: ConfirmChannel::default(),
                queue: broker.queue.clone(),
                dead,
                there,
                looked: 0,
                warned: false,
            }),
            Err(error) => {
                close(&connection).await;
                Err(error)
            }
        }
    }

    /// The next letter, until all that were there have been seen.
    pub(super) async fn next(&mut self) -> Result<Option<Delivery>, BrokerError> {
        if self.looked == self.there {
            return Ok(None);
        }
        let queue = short("the queue's name", &self.dead)?;
        let got = self.channel.basic_get(queue, BasicGetOptions::default());
        let got = within(CALL_LIMIT, got).await?;
        let letter = got.map(|message| message.delivery);
        if let Some(letter) = &letter {
            self.looked += 1;
            self.warn_of_limit(letter);
        }
        Ok(letter)
    }

    fn warn_of_limit(&mut self, letter: &Delivery) {
        let counted = deliveries(&letter.properties).filter(|count| *count > 0 && !self.warned);
        if let Some(deliveries) = counted {
            tracing::warn!(
                queue = self.dead,
                deliveries,
                "the broker counts each look at a letter as a delivery, and removes those that reach the \
                 queue's limit: replay or drop them soon, or make the queue one without a delivery limit"
            );
            self.warned = true;
        }
    }

    /// Takes a letter away. Only [`Self::end`] tells whether the broker has seen it.
    pub(super) async fn remove(&self, letter: &Delivery) -> Result<(), BrokerError> {
        if letter.acker.ack(BasicAckOptions::default()).await? {
            Ok(())
        } else {
            Err(BrokerError::ChannelClosed)
        }
    }

    /// Makes sure that there is a queue to replay to.
    pub(super) async fn ensure_main_queue(&self) -> Result<(), BrokerError> {
        within(CALL_LIMIT, ensure_queue(&self.connection, &self.queue)).await
    }

    /// Publishes to the main queue; `Ok` means that the broker has taken it on.
    pub(super) async fn publish(&self, body: &[u8], properties: BasicProperties) -> Result<(), BrokerError> {
        self.publisher
            .publish(&self.connection, &self.queue, body, properties)
            .await
    }

    /// Puts back what was not removed. `Ok` proves that the removals before it were seen.
    pub(super) async fn end(self) -> Result<(), BrokerError> {
        let ended = within(CALL_LIMIT, self.channel.close(200, "OK".into())).await;
        close(&self.connection).await;
        ended
    }
}
