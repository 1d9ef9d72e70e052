//! The broker of the tests: `HERALD_TEST_AMQP` and, for its management API, `HERALD_TEST_AMQP_API`.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use herald::config::BrokerConfig;
use herald::consumer::{BrokerStatus, Delivery, Source};
use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::until;

/// Nothing in these tests takes longer.
const LIMIT: Duration = Duration::from_secs(30);

/// A queue of one test's own, and a plain client beside Herald.
pub struct Rabbit {
    pub broker: BrokerConfig,
    url: Url,
    connection: Connection,
    channel: Channel,
    /// Messages that the broker took into the main queue.
    published: AtomicUsize,
}

impl Rabbit {
    /// A name that no other test uses; no queue is declared.
    pub async fn new() -> Self {
        let url = address();
        let connected = connect(&url).await;
        Self::on(
            url,
            connected.expect("the broker at HERALD_TEST_AMQP must be running"),
        )
    }

    /// The same at another broker, as soon as it is up. What asks the management API asks that of the
    /// tests' broker all the same.
    pub async fn at(url: Url) -> Self {
        let connected = up(&url).await;
        Self::on(url, connected)
    }

    fn on(url: Url, (connection, channel): (Connection, Channel)) -> Self {
        let queue = format!("test-{}", uuid::Uuid::new_v4());
        let broker = BrokerConfig {
            url: url.as_str().into(),
            shown: "the test broker".into(),
            queue,
            prefetch: 10,
        };
        Self {
            broker,
            url,
            connection,
            channel,
            published: AtomicUsize::new(0),
        }
    }

    /// Connects anew, as soon as the broker is up again.
    pub async fn reconnect(&mut self) {
        (self.connection, self.channel) = up(&self.url).await;
    }

    /// The broker's URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Messages that were published to the main queue, and confirmed.
    pub fn published(&self) -> usize {
        self.published.load(Ordering::Relaxed)
    }

    pub fn dead(&self) -> String {
        herald::consumer::dead_queue_name(&self.broker.queue)
    }

    pub async fn declare(&self, queue: &str, durable: bool, arguments: FieldTable) {
        let options = QueueDeclareOptions {
            durable,
            ..QueueDeclareOptions::default()
        };
        self.channel
            .queue_declare(queue.into(), options, arguments)
            .await
            .unwrap();
    }

    pub async fn delete(&self, queue: &str) {
        self.channel
            .queue_delete(queue.into(), QueueDeleteOptions::default())
            .await
            .unwrap();
    }

    /// Publishes to the main queue, which must exist.
    pub async fn publish(&self, body: &[u8], properties: BasicProperties) {
        self.publish_to(&self.broker.queue, body, properties).await;
        self.published.fetch_add(1, Ordering::Relaxed);
    }

    /// Publishes to any queue, which must exist.
    pub async fn publish_to(&self, queue: &str, body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let confirm = self
            .channel
            .basic_publish("".into(), queue.into(), options, body, properties)
            .await
            .unwrap();
        assert_eq!(confirm.await.unwrap(), lapin::Confirmation::Ack(None));
    }

    /// Publishes to all workers of the queue, as one of them would.
    pub async fn fan_out(&self, body: &[u8]) {
        let exchange = herald::consumer::live_exchange_name(&self.broker.queue);
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let confirm = self
            .channel
            .basic_publish(exchange.as_str().into(), "".into(), options, body, properties)
            .await
            .unwrap();
        confirm.await.unwrap();
    }

    /// Messages ready for delivery, or `None` without such a queue.
    pub async fn ready(&self, queue: &str) -> Option<u32> {
        let channel = self.connection.create_channel().await.unwrap();
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await;
        declared.ok().map(|q| q.message_count())
    }

    /// Takes the first message away.
    pub async fn take(&self, queue: &str) -> Option<BasicGetMessage> {
        let message = self
            .channel
            .basic_get(queue.into(), BasicGetOptions::default())
            .await
            .unwrap()?;
        message.acker.ack(BasicAckOptions::default()).await.unwrap();
        Some(message)
    }

    /// A source of the queue, consuming already.
    pub async fn source(&self) -> (Source, watch::Receiver<BrokerStatus>) {
        let (source, mut status) = Source::amqp(&self.broker, &CancellationToken::new());
        connected(&mut status).await;
        (source, status)
    }

    /// What the management API says about a queue.
    pub async fn described(&self, queue: &str) -> Value {
        let path = format!("api/queues/%2F/{queue}");
        reqwest::get(api().join(&path).unwrap())
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    /// Makes the broker close the connection that consumes the queue.
    pub async fn close_consuming_connection(&self) {
        within(async {
            while !self.close(&self.consuming_connection().await).await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }

    /// Makes the broker close each connection over which workers hear each other.
    pub async fn close_live_connections(&self) {
        let exchange = herald::consumer::live_exchange_name(&self.broker.queue);
        let path = format!("api/exchanges/%2F/{exchange}/bindings/source");
        let bindings = reqwest::get(api().join(&path).unwrap()).await.unwrap();
        let bindings: Value = bindings.json().await.unwrap();
        for binding in bindings.as_array().unwrap() {
            let queue = binding["destination"].as_str().unwrap();
            let name = until("the queue's connection", LIMIT, async || {
                let seen = self.described(queue).await;
                let name = &seen["consumer_details"][0]["channel_details"]["connection_name"];
                name.as_str().map(str::to_owned)
            })
            .await;
            assert!(self.close(&name).await, "{name}");
        }
    }

    /// The name of the connection that consumes the queue, as soon as the management API has it.
    pub async fn consuming_connection(&self) -> String {
        until("a consumer", LIMIT, async || {
            let consumers: Value = reqwest::get(api().join("api/consumers").unwrap())
                .await
                .unwrap()
                .json()
                .await
                .unwrap();
            let mine = consumers
                .as_array()
                .unwrap()
                .iter()
                .find(|c| c["queue"]["name"] == *self.broker.queue)?;
            let name = mine["channel_details"]["connection_name"].as_str()?;
            Some(name.to_owned())
        })
        .await
    }

    /// Makes the broker close a connection; false when it knows of none with this name.
    pub async fn close(&self, connection: &str) -> bool {
        let mut url = api();
        url.path_segments_mut()
            .unwrap()
            .pop_if_empty()
            .extend(["api", "connections", connection]);
        let answer = reqwest::Client::new().delete(url).send().await.unwrap();
        answer.status().is_success()
    }

    /// A user of the tests' broker, whose password is the name as well.
    pub async fn add_user(&self, name: &str) {
        let user = json!({"password": name, "tags": ""});
        self.put(&format!("api/users/{name}"), &user).await;
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.put(&format!("api/permissions/%2F/{name}"), &all).await;
    }

    pub async fn remove_user(&self, name: &str) {
        let url = api().join(&format!("api/users/{name}")).unwrap();
        let answer = reqwest::Client::new().delete(url).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    async fn put(&self, path: &str, body: &Value) {
        let url = api().join(path).unwrap();
        let answer = reqwest::Client::new().put(url).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Publishes JSON as a good publisher does: persistent, with a `message_id`, which is returned.
    pub async fn send(&self, message: &Value) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        self.send_as(&id, message).await;
        id
    }

    /// The same with a given `message_id`.
    pub async fn send_as(&self, id: &str, message: &Value) {
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/json".into())
            .with_message_id(id.into());
        self.publish(message.to_string().as_bytes(), properties).await;
    }

    /// Waits until the management API, which is up to half a second late, counts so many ready and
    /// unacked messages in the main queue.
    pub async fn wait_counts(&self, ready: u64, unacked: u64) {
        let what = format!("{ready} ready, {unacked} unacked");
        until(&what, LIMIT, async || {
            let seen = self.described(&self.broker.queue).await;
            let counts = (&seen["messages_ready"], &seen["messages_unacknowledged"]);
            (counts == (&Value::from(ready), &Value::from(unacked))).then_some(())
        })
        .await;
    }

    /// Waits until so many messages are ready in the main queue.
    pub async fn wait_ready(&self, count: u32) {
        until(&format!("{count} ready"), LIMIT, async || {
            (self.ready(&self.broker.queue).await == Some(count)).then_some(())
        })
        .await;
    }

    /// Waits for a dead letter and takes it away.
    pub async fn wait_dead(&self) -> BasicGetMessage {
        let dead = self.dead();
        until("a dead letter", LIMIT, async || self.take(&dead).await).await
    }

    /// Removes both queues.
    pub async fn clean(self) {
        self.delete(&self.broker.queue).await;
        self.delete(&self.dead()).await;
    }
}

async fn connect(url: &Url) -> lapin::Result<(Connection, Channel)> {
    let connection = Connection::connect(url.as_str(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

async fn up(url: &Url) -> (Connection, Channel) {
    let limit = Duration::from_mins(2);
    until("a broker that is up", limit, async || connect(url).await.ok()).await
}

/// The tests' broker.
pub fn address() -> Url {
    variable("HERALD_TEST_AMQP")
}

fn api() -> Url {
    variable("HERALD_TEST_AMQP_API")
}

fn variable(name: &str) -> Url {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let text =
        std::env::var(name).unwrap_or_else(|_| panic!("{name} must name the test broker: see scripts/test"));
    text.parse()
        .unwrap_or_else(|e| panic!("{name} is not a URL: {e}"))
}

/// `work`, which must not hang.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.expect("took too long")
}

pub async fn connected(status: &mut watch::Receiver<BrokerStatus>) {
    within(status.wait_for(|s| *s == BrokerStatus::Connected))
        .await
        .unwrap();
}

/// The reason that the source gives for being down.
pub async fn down(status: &mut watch::Receiver<BrokerStatus>) -> String {
    let seen = within(status.wait_for(|s| *s != BrokerStatus::Connected))
        .await
        .unwrap();
    match &*seen {
        BrokerStatus::Down(reason) => reason.clone(),
        BrokerStatus::Connected => unreachable!(),
    }
}

pub async fn next(source: &mut Source) -> Delivery {
    within(source.next()).await.expect("the source ended")
}

/// A text among the headers of a dead letter.
pub fn header(letter: &BasicGetMessage, name: &str) -> Option<String> {
    let headers = letter.properties.headers().as_ref()?;
    match headers.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        other => panic!("{name} is {other:?}"),
    }
}
