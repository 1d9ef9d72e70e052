//! Who is told of the end of dispatches: an SQS queue at moto (`HERALD_TEST_AWS`), and a queue bound to a topic
//! exchange of the tests' broker. Both of one test's own.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_smithy_http_client::Builder;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use serde_json::Value;

use super::command::Shell;
use super::until;
use super::worker::Settings;

/// For a notice.
const LIMIT: Duration = Duration::from_mins(1);

/// A notice as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub body: String,
    /// On SQS the message's attributes; on AMQP routing key and properties.
    pub attributes: BTreeMap<String, String>,
}

impl Told {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn bundle(&self) -> String {
        self.json()["bundle_id"].as_str().unwrap().to_owned()
    }
}

/// Moto's address.
fn endpoint() -> String {
    std::env::var("HERALD_TEST_AWS").expect("HERALD_TEST_AWS must name the test server: see scripts/test")
}

/// What programs need to find it.
pub const CREDENTIALS: [(&str, &str); 3] = [
    ("AWS_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "secret-of-the-test"),
];

pub fn aws(mut settings: Settings) -> Settings {
    for (name, value) in CREDENTIALS {
        settings = settings.set(name, value);
    }
    settings.set("AWS_ENDPOINT_URL", endpoint())
}

pub fn aws_shell(mut shell: Shell) -> Shell {
    for (name, value) in CREDENTIALS {
        shell = shell.set(name, value);
    }
    shell.set("AWS_ENDPOINT_URL", endpoint())
}

/// A queue of SQS.
pub struct Sqs {
    client: Client,
    name: String,
    fifo: bool,
    pub url: String,
}

impl Sqs {
    /// A name and where it will be; the queue is not there yet.
    pub fn absent(fifo: bool) -> Self {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(Builder::new().build_http())
            .endpoint_url(endpoint())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "secret-of-the-test", None, None, "test"))
            .build();
        let suffix = if fifo { ".fifo" } else { "" };
        let name = format!("told-{}{suffix}", uuid::Uuid::new_v4());
        Self {
            client: Client::from_conf(config),
            url: format!("{}/123456789012/{name}", endpoint().trim_end_matches('/')),
            name,
            fifo,
        }
    }

    pub async fn new() -> Self {
        let queue = Self::absent(false);
        queue.create().await;
        queue
    }

    pub async fn create(&self) {
        let mut call = self.client.create_queue().queue_name(&self.name);
        if self.fifo {
            call = call.attributes(QueueAttributeName::FifoQueue, "true");
        }
        let created = call.send().await.unwrap();
        let path = |url: &str| url.rsplit('/').next().unwrap().to_owned();
        assert_eq!(path(created.queue_url().unwrap()), path(&self.url));
    }

    /// Takes away what is there.
    pub async fn take(&self) -> Vec<Told> {
        let received = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(10)
            .message_attribute_names("All")
            .message_system_attribute_names("All".into())
            .send()
            .await
            .unwrap();
        let mut told = Vec::new();
        for message in received.messages() {
            let handle = message.receipt_handle().unwrap();
            self.client
                .delete_message()
                .queue_url(&self.url)
                .receipt_handle(handle)
                .send()
                .await
                .unwrap();
            let mut attributes = BTreeMap::new();
            for (name, value) in message.message_attributes().into_iter().flatten() {
                assert_eq!(value.data_type(), "String");
                attributes.insert(name.clone(), value.string_value().unwrap().to_owned());
            }
            for (name, value) in message.attributes().into_iter().flatten() {
                if matches!(name.as_str(), "MessageGroupId" | "MessageDeduplicationId") {
                    attributes.insert(name.as_str().to_owned(), value.clone());
                }
            }
            told.push(Told {
                body: message.body().unwrap().to_owned(),
                attributes,
            });
        }
        told
    }

    /// Waits for the next one.
    pub async fn next(&self) -> Told {
        let told = until("a notice on SQS", LIMIT, async || {
            let told = self.take().await;
            (!told.is_empty()).then_some(told)
        });
        let told = told.await;
        assert_eq!(told.len(), 1, "{told:#?}");
        told[0].clone()
    }

    /// Waits until each of these bundles was told of; copies are allowed.
    pub async fn wait_all(&self, bundles: &BTreeSet<String>) {
        let mut seen = BTreeSet::new();
        until("all notices on SQS", LIMIT, async || {
            seen.extend(self.take().await.iter().map(Told::bundle));
            bundles.is_subset(&seen).then_some(())
        })
        .await;
    }
}

/// A topic exchange, and a queue that gets all of it.
pub struct Topic {
    _connection: Connection,
    channel: Channel,
    pub exchange: String,
}

impl Topic {
    /// The exchange of this name and the queue are there.
    pub async fn new() -> Self {
        let url = super::rabbit::address();
        let connection = Connection::connect(url.as_str(), ConnectionProperties::default())
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        let topic = Self {
            _connection: connection,
            channel,
            exchange: format!("told-{}", uuid::Uuid::new_v4()),
        };
        topic.bind().await;
        topic
    }

    /// Declares both.
    pub async fn bind(&self) {
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let (name, table) = (self.exchange.as_str(), FieldTable::default());
        self.channel
            .exchange_declare(name.into(), ExchangeKind::Topic, durable, table.clone())
            .await
            .unwrap();
        let own = QueueDeclareOptions {
            exclusive: true,
            ..QueueDeclareOptions::default()
        };
        self.channel
            .queue_declare(name.into(), own, table.clone())
            .await
            .unwrap();
        let options = QueueBindOptions::default();
        self.channel
            .queue_bind(name.into(), name.into(), "#".into(), options, table)
            .await
            .unwrap();
    }

    /// Takes the first one away.
    pub async fn take(&self) -> Option<Told> {
        let options = lapin::options::BasicGetOptions { no_ack: true };
        let message = self
            .channel
            .basic_get(self.exchange.as_str().into(), options)
            .await
            .unwrap()?;
        let properties = &message.properties;
        let text = |text: &Option<lapin::types::ShortString>| {
            text.as_ref().map(|t| t.as_str().to_owned()).unwrap_or_default()
        };
        let mode = properties.delivery_mode().map(|n| n.to_string());
        let attributes = [
            ("routing_key", message.routing_key.as_str().to_owned()),
            ("message_id", text(properties.message_id())),
            ("content_type", text(properties.content_type())),
            ("delivery_mode", mode.unwrap_or_default()),
        ];
        Some(Told {
            body: String::from_utf8(message.data.clone()).unwrap(),
            attributes: attributes.map(|(name, value)| (name.to_owned(), value)).into(),
        })
    }

    /// Waits for the next one.
    pub async fn next(&self) -> Told {
        until("a notice on the exchange", LIMIT, async || self.take().await).await
    }

    /// Waits until each of these bundles was told of; copies are allowed.
    pub async fn wait_all(&self, bundles: &BTreeSet<String>) {
        let mut seen = BTreeSet::new();
        until("all notices on the exchange", LIMIT, async || {
            seen.extend(self.take().await.iter().map(Told::bundle));
            bundles.is_subset(&seen).then_some(())
        })
        .await;
    }

    /// Removes the exchange; the queue goes with the connection.
    pub async fn remove(&self) {
        self.channel
            .exchange_delete(
                self.exchange.as_str().into(),
                lapin::options::ExchangeDeleteOptions::default(),
            )
            .await
            .unwrap();
    }
}
