//! SQS at `HERALD_TEST_AWS`: a queue of a test's own, and a plain client beside Herald.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::collections::HashMap;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Credentials;
use aws_sdk_sqs::types::{MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName};
use aws_smithy_http_client::{Builder, tls};
use serde_json::Value;

use super::command::Shell;
use super::database::TestDatabase;
use super::until;
use super::worker::Settings;

const LIMIT: Duration = Duration::from_mins(1);

/// What Herald is told of it, besides the endpoint.
const VARIABLES: [(&str, &str); 4] = [
    ("AWS_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("SOURCE", "sqs"),
];

/// The address of moto.
pub fn endpoint() -> String {
    std::env::var("HERALD_TEST_AWS").expect("HERALD_TEST_AWS: run the tests by scripts/test")
}

pub struct Sqs {
    client: Client,
    pub name: String,
}

impl Sqs {
    /// A name that no other test uses, with this ending; no queue is created.
    pub async fn new(ending: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .region(Region::new("us-east-1"))
            .endpoint_url(endpoint())
            .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
            .load()
            .await;
        Self {
            client: Client::new(&config),
            name: format!("test-{}{ending}", uuid::Uuid::new_v4().simple()),
        }
    }

    pub async fn create(&self, attributes: &[(QueueAttributeName, &str)]) {
        let mut call = self.client.create_queue().queue_name(&self.name);
        for (name, value) in attributes {
            call = call.attributes(name.clone(), *value);
        }
        call.send().await.unwrap();
    }

    /// The queue `target`, to which SQS moves what was received more than once.
    pub async fn create_once(&self, visibility: &str, target: &Self) {
        target.create(&[]).await;
        let arn = format!("arn:aws:sqs:us-east-1:123456789012:{}", target.name);
        let policy = serde_json::json!({"deadLetterTargetArn": arn, "maxReceiveCount": "1"}).to_string();
        let attributes = [
            (QueueAttributeName::VisibilityTimeout, visibility),
            (QueueAttributeName::RedrivePolicy, policy.as_str()),
        ];
        self.create(&attributes).await;
    }

    /// For a worker that receives from it; dummy mode, no log file.
    pub fn settings(&self, db: &TestDatabase) -> Settings {
        let settings = Settings::bare(db).set("SQS_QUEUE_NAME", &self.name);
        let settings = settings.set("AWS_ENDPOINT_URL", endpoint());
        VARIABLES
            .iter()
            .fold(settings, |all, (name, value)| all.set(name, value))
    }

    pub fn shell(&self, db: &TestDatabase) -> Shell {
        let shell = Shell::new()
            .set("DATABASE_URL", db.url())
            .set("SQS_QUEUE_NAME", &self.name)
            .set("AWS_ENDPOINT_URL", endpoint());
        VARIABLES
            .iter()
            .fold(shell, |all, (name, value)| all.set(name, value))
    }

    async fn url(&self, name: &str) -> Option<String> {
        let found = self.client.get_queue_url().queue_name(name).send().await.ok()?;
        found.queue_url
    }

    /// SQS's id.
    pub async fn send(&self, message: &Value, id: Option<&str>) -> String {
        self.send_text(&message.to_string(), id, None).await
    }

    pub async fn send_text(&self, body: &str, id: Option<&str>, group: Option<&str>) -> String {
        let url = self.url(&self.name).await.expect("the queue");
        let mut call = self.client.send_message().queue_url(url).message_body(body);
        if let Some(id) = id {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(id);
            call = call.message_attributes("message_id", value.build().unwrap());
        }
        if let Some(group) = group {
            let once = uuid::Uuid::new_v4().to_string();
            call = call.message_group_id(group).message_deduplication_id(once);
        }
        call.send().await.unwrap().message_id.unwrap()
    }

    /// Waits until nothing is in it, visible or not.
    pub async fn wait_empty(&self) {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let url = self.url(&self.name).await.expect("the queue");
        until("an empty queue", LIMIT, async || {
            let call = self
                .client
                .get_queue_attributes()
                .queue_url(&url)
                .set_attribute_names(Some(names.to_vec()));
            let found = call.send().await.unwrap().attributes.unwrap();
            names.iter().all(|name| found[name] == "0").then_some(())
        })
        .await;
    }

    fn dead_name(&self) -> String {
        match self.name.strip_suffix(".fifo") {
            Some(stem) => format!("{stem}-dead.fifo"),
            None => format!("{}-dead", self.name),
        }
    }

    /// Deletes the queue for dead letters.
    pub async fn delete_dead(&self) {
        let url = self.url(&self.dead_name()).await.expect("the queue");
        self.client.delete_queue().queue_url(url).send().await.unwrap();
    }

    /// The attributes of the dead letter with this body, and its `group`; it is taken away.
    pub async fn wait_dead(&self, body: &str) -> HashMap<String, String> {
        let name = self.dead_name();
        until("a dead letter", LIMIT, async || {
            let url = self.url(&name).await?;
            let call = self
                .client
                .receive_message()
                .queue_url(&url)
                .message_attribute_names("All")
                .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
                .visibility_timeout(1);
            let found = call.send().await.unwrap().messages.unwrap_or_default();
            let letter = found.into_iter().find(|message| message.body() == Some(body))?;
            let receipt = letter.receipt_handle().unwrap();
            self.client
                .delete_message()
                .queue_url(&url)
                .receipt_handle(receipt)
                .send()
                .await
                .unwrap();
            let group = letter.attributes.unwrap_or_default();
            let group = group.into_values().map(|group| ("group".to_owned(), group));
            let attributes = letter.message_attributes.unwrap_or_default().into_iter();
            let attributes = attributes.map(|(name, value)| (name, value.string_value.unwrap_or_default()));
            Some(attributes.chain(group).collect())
        })
        .await
    }
}
