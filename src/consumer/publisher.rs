//! Publishing that is sure: persistent, mandatory, confirmed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use secrecy::SecretString;
use tokio::sync::Mutex;

use super::connect::{close, connect, short};
use super::error::{BrokerError, within};
use super::topology::ensure_queue;
use crate::config::BrokerConfig;

/// For a publish and its confirm.
const CONFIRM_LIMIT: Duration = Duration::from_secs(30);
/// Publishes under way at once in a [`AmqpPublisher`].
const LANES: usize = 16;
/// `delivery_mode` of a persistent message.
pub(super) const PERSISTENT: u8 = 2;

/// A channel that publishes one message at a time. The client library hands a returned message to
/// whichever confirm comes next, so with two under way a lost message could pass for a stored one. For
/// the same reason a channel with an open end (error, time-out, caller gone) is never used again.
#[derive(Debug, Default)]
pub(super) struct ConfirmChannel(Mutex<Option<Channel>>);

impl ConfirmChannel {
    /// Publishes to `queue` through the default exchange; `Ok` means that the broker has taken it on.
    pub(super) async fn publish(
        &self,
        connection: &Connection,
        queue: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), BrokerError> {
        let key = short("the queue's name", queue)?;
        let mut slot = self.0.lock().await;
        let work = async {
            let channel = match slot.take().filter(|c| c.status().connected()) {
                Some(channel) => channel,
                None => open(connection).await?,
            };
            let options = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let confirm = channel
                .basic_publish("".into(), key, options, body, properties)
                .await?;
            Ok::<_, lapin::Error>((channel, confirm.await?))
        };
        let (channel, confirmation) = within(CONFIRM_LIMIT, work).await?;
        *slot = Some(channel);
        match confirmation {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) => Err(BrokerError::Returned(queue.to_owned())),
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(BrokerError::Refused),
        }
    }
}

async fn open(connection: &Connection) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

/// Publishes messages as Herald's publishers do. Connects when first needed, and again when the
/// connection was lost; up to 16 publishes run side by side.
#[derive(Debug)]
pub struct AmqpPublisher {
    url: SecretString,
    connection: Mutex<Option<Arc<Connection>>>,
    lanes: [ConfirmChannel; LANES],
    turn: AtomicUsize,
}

impl AmqpPublisher {
    /// A publisher to this broker; nothing is connected yet.
    pub fn new(broker: &BrokerConfig) -> Self {
        Self {
            url: broker.url.clone(),
            connection: Mutex::default(),
            lanes: Default::default(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Makes sure that `queue` exists: taken as it is, else created durable and without arguments.
    pub async fn ensure_queue(&self, queue: &str) -> Result<(), BrokerError> {
        let connection = self.connection().await?;
        within(CONFIRM_LIMIT, ensure_queue(&connection, queue)).await
    }

    /// Publishes `body` to `queue`, persistent, with the type `application/json`. `Ok` means that the
    /// broker confirmed it; after any error the message may or may not have arrived.
    pub async fn publish(&self, queue: &str, body: &[u8], message_id: &str) -> Result<(), BrokerError> {
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into())
            .with_message_id(short("the message_id", message_id)?);
        let connection = self.connection().await?;
        let lane = self.turn.fetch_add(1, Ordering::Relaxed) % LANES;
        self.lanes[lane]
            .publish(&connection, queue, body, properties)
            .await
    }

    /// Closes the connection in order.
    pub async fn close(self) {
        if let Some(connection) = self.connection.into_inner() {
            close(&connection).await;
        }
    }

    async fn connection(&self) -> Result<Arc<Connection>, BrokerError> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = slot.as_ref().filter(|c| c.status().connected()) {
            return Ok(Arc::clone(connection));
        }
        let connection = Arc::new(connect(&self.url).await?);
        *slot = Some(Arc::clone(&connection));
        Ok(connection)
    }
}
