//! Publishing to a topic exchange: persistent and confirmed, over a connection of its own, which is made when it
//! is needed and again when it was lost. Not mandatory: nobody need be bound, and who is not has not asked.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ExchangeKind};
use secrecy::SecretString;
use tokio::sync::Mutex;

use super::connect::{close, connect, short};
use super::error::{BrokerError, within};
use super::publisher::PERSISTENT;
use crate::config::BrokerConfig;

/// For a declare, and for a publish and its confirm.
const LIMIT: Duration = Duration::from_secs(30);

/// A topic exchange of the broker.
#[derive(Debug)]
pub struct Exchange {
    url: SecretString,
    name: String,
    line: Mutex<Option<Line>>,
}

/// A connection and a channel on which one publish is under way at a time. After an error or with an open end it
/// is never used again.
#[derive(Debug)]
struct Line {
    connection: Connection,
    channel: Channel,
}

impl Exchange {
    /// The exchange `name`; nothing is connected yet.
    pub fn new(broker: &BrokerConfig, name: &str) -> Self {
        Self {
            url: broker.url.clone(),
            name: name.to_owned(),
            line: Mutex::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes sure that it exists: taken as it is, else created as a durable topic exchange.
    pub async fn ensure(&self) -> Result<(), BrokerError> {
        let mut slot = self.line.lock().await;
        let line = self.open().await?;
        *slot = Some(line);
        Ok(())
    }

    /// Publishes JSON. `Ok` means that the broker confirmed it; after any error it may or may not have arrived.
    pub async fn publish(&self, routing_key: &str, message_id: &str, body: &[u8]) -> Result<(), BrokerError> {
        let exchange = short("the exchange's name", &self.name)?;
        let key = short("the routing key", routing_key)?;
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into())
            .with_message_id(short("the message_id", message_id)?);
        let mut slot = self.line.lock().await;
        let standing = slot
            .take()
            .filter(|line| line.channel.status().connected() && line.connection.status().connected());
        let line = match standing {
            Some(line) => line,
            None => self.open().await?,
        };
        let work = async {
            let options = BasicPublishOptions::default();
            let publish = line
                .channel
                .basic_publish(exchange, key, options, body, properties);
            publish.await?.await
        };
        match within(LIMIT, work).await {
            Ok(Confirmation::Ack(_)) => {
                *slot = Some(line);
                Ok(())
            }
            Ok(Confirmation::Nack(_) | Confirmation::NotRequested) => {
                *slot = Some(line);
                Err(BrokerError::Refused)
            }
            Err(error) => {
                close(&line.connection).await;
                Err(error)
            }
        }
    }

    /// Closes the connection in order.
    pub async fn close(&self) {
        if let Some(line) = self.line.lock().await.take() {
            close(&line.connection).await;
        }
    }

    /// A refused declare closes its channel, so each has one of its own.
    async fn open(&self) -> Result<Line, BrokerError> {
        let connection = connect(&self.url).await?;
        let opened = within(LIMIT, async {
            match self.declare(&connection, true).await {
                Err(error) if error.is_not_found() => {
                    self.declare(&connection, false).await?;
                    tracing::info!(exchange = self.name, "created the exchange");
                }
                other => other?,
            }
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok::<_, BrokerError>(channel)
        });
        match opened.await {
            Ok(channel) => Ok(Line { connection, channel }),
            Err(error) => {
                close(&connection).await;
                Err(error)
            }
        }
    }

    async fn declare(&self, connection: &Connection, passive: bool) -> Result<(), BrokerError> {
        let channel = connection.create_channel().await?;
        let options = ExchangeDeclareOptions {
            passive,
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let name = short("the exchange's name", &self.name)?;
        channel
            .exchange_declare(name, ExchangeKind::Topic, options, FieldTable::default())
            .await?;
        let _ = channel.close(200, "OK".into()).await;
        Ok(())
    }
}
