//! The broker: a queue for each run, the message, and whether it is gone.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::{Value, json};

use crate::Fallible;
use crate::scene::Servers;

/// One durable queue.
pub(crate) struct Queue {
    pub(crate) name: String,
    _connection: Connection,
    channel: Channel,
    client: reqwest::Client,
    api: String,
}

impl Queue {
    pub(crate) async fn declare(servers: &Servers, name: &str) -> Fallible<Self> {
        let connection = Connection::connect(&servers.amqp, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let queue = Self {
            name: name.to_owned(),
            _connection: connection,
            channel,
            client: reqwest::Client::builder()
                .timeout(Duration::from_secs(5))
                .build()?,
            api: format!(
                "{}/api/queues?disable_stats=true&enable_queue_totals=true",
                servers.api
            ),
        };
        queue.declare_again(false).await?;
        Ok(queue)
    }

    async fn declare_again(&self, passive: bool) -> Fallible<lapin::Queue> {
        let options = QueueDeclareOptions {
            durable: true,
            passive,
            ..QueueDeclareOptions::default()
        };
        let name = self.name.as_str().into();
        Ok(self
            .channel
            .queue_declare(name, options, FieldTable::default())
            .await?)
    }

    pub(crate) async fn has_consumer(&self) -> Fallible<bool> {
        Ok(self.declare_again(true).await?.consumer_count() > 0)
    }

    pub(crate) async fn publish(&self, event: i64, message_id: &str) -> Fallible<()> {
        self.publish_for(event, None, message_id).await
    }

    /// A tenant's message.
    pub(crate) async fn publish_for(
        &self,
        event: i64,
        tenant: Option<&str>,
        message_id: &str,
    ) -> Fallible<()> {
        let mut message = json!({"type": "UPDATED", "event_id": event});
        if let Some(tenant) = tenant {
            message["tenant_id"] = tenant.into();
        }
        let body = message.to_string();
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_message_id(message_id.into());
        let sent = self.channel.basic_publish(
            "".into(),
            self.name.as_str().into(),
            BasicPublishOptions::default(),
            body.as_bytes(),
            properties,
        );
        sent.await?;
        Ok(())
    }

    /// Nothing ready and nothing unacked, by the queue's own counters.
    pub(crate) async fn is_empty(&self) -> Fallible<bool> {
        let Ok(queues) = self.listed().await else {
            // It is asked again; whoever waits has a limit.
            return Ok(false);
        };
        let mine = queues
            .as_array()
            .and_then(|all| all.iter().find(|queue| queue["name"] == self.name.as_str()))
            .ok_or("the broker does not know the queue")?;
        Ok(mine["messages_ready"] == 0 && mine["messages_unacknowledged"] == 0)
    }

    async fn listed(&self) -> Fallible<Value> {
        let answer = self.client.get(&self.api).send().await?;
        Ok(serde_json::from_str(&answer.text().await?)?)
    }

    /// Messages that are there once the worker is gone: an unacked one would be back.
    pub(crate) async fn left(&self) -> Fallible<u32> {
        Ok(self.declare_again(true).await?.message_count())
    }

    pub(crate) async fn delete(self) -> Fallible<()> {
        let options = QueueDeleteOptions::default();
        for name in [self.name.clone(), format!("{}.dead", self.name)] {
            self.channel.queue_delete(name.as_str().into(), options).await?;
        }
        Ok(())
    }
}
