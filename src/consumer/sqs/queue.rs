//! A queue by its name, and the one for dead letters beside it.

use std::fmt;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::QueueAttributeName;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, OnceCell};

use super::attributes::{self, Attributes};
use crate::aws;
use crate::config::AwsConfig;
use crate::consumer::BrokerError;

/// For each call but the long poll.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(20);

/// A queue; nothing is asked before it is used.
pub struct SqsQueue {
    config: AwsConfig,
    /// Its name.
    pub name: String,
    client: OnceCell<Client>,
    url: OnceCell<String>,
    dead_url: Mutex<Option<String>>,
}

impl fmt::Debug for SqsQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsQueue")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl SqsQueue {
    /// The queue `name` where `config` says.
    pub fn new(config: &AwsConfig, name: &str) -> Self {
        Self {
            config: config.clone(),
            name: name.to_owned(),
            client: OnceCell::new(),
            url: OnceCell::new(),
            dead_url: Mutex::default(),
        }
    }

    /// Where it is, for logs.
    pub fn shown(&self) -> String {
        self.config.endpoint.as_ref().map_or_else(
            || format!("SQS in {}", self.config.region),
            |endpoint| format!("SQS at {}", endpoint.host_str().unwrap_or_default()),
        )
    }

    /// Whether order and groups matter.
    pub fn is_fifo(&self) -> bool {
        self.name.strip_suffix(".fifo").is_some()
    }

    /// The name of the queue for its dead letters.
    pub fn dead_name(&self) -> String {
        match self.name.strip_suffix(".fifo") {
            Some(stem) => format!("{stem}-dead.fifo"),
            None => format!("{}-dead", self.name),
        }
    }

    pub(super) async fn client(&self) -> &Client {
        self.client.get_or_init(|| Box::pin(aws::sqs(&self.config))).await
    }

    /// Its URL, asked once.
    pub(super) async fn url(&self) -> Result<&str, BrokerError> {
        let ask = || self.ask_url(&self.name);
        Ok(self.url.get_or_try_init(ask).await?)
    }

    async fn ask_url(&self, name: &str) -> Result<String, BrokerError> {
        let asked = self.client().await.get_queue_url().queue_name(name).send();
        let found = within(asked).await?;
        found.queue_url.ok_or_else(|| missing(name))
    }

    /// Sends to the queue for dead letters, which is created if there is none.
    pub(super) async fn send_dead(
        &self,
        body: &[u8],
        attributes: Attributes,
        group: Option<(String, String)>,
    ) -> Result<(), BrokerError> {
        let url = self.dead_url().await?;
        let sent = self.send(&url, body, attributes.clone(), group.clone()).await;
        if sent.as_ref().is_err_and(BrokerError::is_not_found) {
            // Somebody has deleted it meanwhile.
            *self.dead_url.lock().await = None;
            let url = self.dead_url().await?;
            return self.send(&url, body, attributes, group).await;
        }
        sent
    }

    async fn dead_url(&self) -> Result<String, BrokerError> {
        let mut known = self.dead_url.lock().await;
        if let Some(url) = &*known {
            return Ok(url.clone());
        }
        let name = self.dead_name();
        let url = match self.ask_url(&name).await {
            Err(error) if error.is_not_found() => self.create(&name).await,
            asked => asked,
        }?;
        Ok(known.insert(url).clone())
    }

    /// The same, none if there is no such queue.
    pub(super) async fn dead_url_if_there(&self) -> Result<Option<String>, BrokerError> {
        match self.ask_url(&self.dead_name()).await {
            Ok(url) => Ok(Some(url)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, name: &str) -> Result<String, BrokerError> {
        let mut asked = self.client().await.create_queue().queue_name(name);
        if self.is_fifo() {
            asked = asked.attributes(QueueAttributeName::FifoQueue, "true");
        }
        // Nobody may have looked for two weeks: as long as SQS keeps anything.
        asked = asked.attributes(QueueAttributeName::MessageRetentionPeriod, "1209600");
        let created = within(asked.send()).await?;
        created.queue_url.ok_or_else(|| missing(name))
    }

    /// How long a message stays invisible once it was received.
    pub(super) async fn visibility(&self) -> Result<Duration, BrokerError> {
        let asked = self
            .client()
            .await
            .get_queue_attributes()
            .queue_url(self.url().await?)
            .attribute_names(QueueAttributeName::VisibilityTimeout)
            .send();
        let found = within(asked).await?;
        let seconds = found
            .attributes()
            .and_then(|all| all.get(&QueueAttributeName::VisibilityTimeout))
            .and_then(|text| text.parse().ok());
        Ok(Duration::from_secs(seconds.unwrap_or(30)))
    }

    /// Makes sure that it is there.
    ///
    /// # Errors
    /// It is not, or SQS does not answer.
    pub async fn check(&self) -> Result<(), BrokerError> {
        self.visibility().await.map(|_| ())
    }

    /// Sends `body` with a `message_id`; `Ok` means that SQS has it.
    ///
    /// # Errors
    /// It may have arrived all the same.
    pub async fn publish(&self, body: &[u8], message_id: &str) -> Result<(), BrokerError> {
        let attributes = attributes::with_id(message_id);
        let group = self
            .is_fifo()
            .then(|| ("herald".to_owned(), message_id.to_owned()));
        self.send(self.url().await?, body, attributes, group).await
    }

    /// `group`: the group and the deduplication id of a FIFO queue's message.
    pub(super) async fn send(
        &self,
        url: &str,
        body: &[u8],
        attributes: Attributes,
        group: Option<(String, String)>,
    ) -> Result<(), BrokerError> {
        let body = String::from_utf8_lossy(body).into_owned();
        let mut asked = self
            .client()
            .await
            .send_message()
            .queue_url(url)
            .message_body(body);
        for (name, value) in attributes {
            asked = asked.message_attributes(name, value);
        }
        if let Some((group, deduplication)) = group {
            asked = asked
                .message_group_id(group)
                .message_deduplication_id(attributes::token(&deduplication));
        }
        within(asked.send()).await.map(|_| ())
    }

    /// Deletes by receipt.
    pub(super) async fn delete(&self, url: &str, receipt: &str) -> Result<(), BrokerError> {
        let asked = self
            .client()
            .await
            .delete_message()
            .queue_url(url)
            .receipt_handle(receipt);
        within(asked.send()).await.map(|_| ())
    }

    /// Makes a message visible again after `seconds`.
    pub(super) async fn show_again(&self, url: &str, receipt: &str, seconds: i32) -> Result<(), BrokerError> {
        let asked = self
            .client()
            .await
            .change_message_visibility()
            .queue_url(url)
            .receipt_handle(receipt)
            .visibility_timeout(seconds);
        within(asked.send()).await.map(|_| ())
    }
}

fn missing(name: &str) -> BrokerError {
    BrokerError::Broker {
        text: format!("the queue {name} does not exist"),
        not_found: true,
    }
}

/// A call to SQS, given up after a while. The calls are large, so they live on the heap.
pub(super) fn within<'a, T: 'a, E, R>(
    call: impl Future<Output = Result<T, SdkError<E, R>>> + Send + 'a,
) -> BoxFuture<'a, Result<T, BrokerError>>
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug,
{
    let call = Box::pin(call);
    Box::pin(async move {
        match tokio::time::timeout(CALL_LIMIT, call).await {
            Ok(done) => done.map_err(|error| refused(&error)),
            Err(_) => Err(BrokerError::Timeout(CALL_LIMIT)),
        }
    })
}

/// What SQS calls a message that it will never take.
const REFUSED: [&str; 3] = [
    "InvalidMessageContents",
    "InvalidParameterValue",
    "BatchRequestTooLong",
];

/// What SQS said, in one line.
pub(super) fn refused<E, R>(error: &SdkError<E, R>) -> BrokerError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug,
{
    let code = error.code().unwrap_or_default();
    let not_found = code.contains("NonExistentQueue") || code.contains("QueueDoesNotExist");
    let text = aws::said(error);
    if REFUSED.contains(&code) {
        return BrokerError::Unfit(text);
    }
    BrokerError::Broker { text, not_found }
}
