//! Notices as messages of an SQS queue.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use url::Url;

use super::{Notice, TargetError};
use crate::aws;
use crate::config::AwsConfig;
use crate::domain::one_line;

/// For a call, the client's own tries included.
const LIMIT: Duration = Duration::from_secs(30);

/// Longest text of the service that is repeated, in characters.
const MAX_TEXT: usize = 300;

/// A queue of SQS.
#[derive(Debug)]
pub struct SqsQueue {
    client: Client,
    url: Url,
    fifo: bool,
}

impl SqsQueue {
    /// Nothing is asked yet.
    pub(super) async fn new(config: &AwsConfig, url: &Url) -> Self {
        Self {
            client: aws::sqs(config).await,
            fifo: url.path().rsplit('.').next() == Some("fifo"),
            url: url.clone(),
        }
    }

    /// Without what a URL may carry besides.
    pub(super) fn shown(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        format!("{host}{}", self.url.path())
    }

    /// A FIFO queue keeps the notices of a recipe in order and drops copies by itself, for five minutes.
    pub(super) async fn publish(&self, notice: &Notice, body: &str) -> Result<(), TargetError> {
        let bundle = notice.bundle_id.to_string();
        let mut call = self
            .client
            .send_message()
            .queue_url(self.url.as_str())
            .message_body(body)
            .message_attributes("bundle_id", text(&bundle)?)
            .message_attributes("recipe_id", text(&notice.recipe_id)?)
            .message_attributes("completion_timestamp", text(&notice.completion_timestamp)?);
        if self.fifo {
            call = call
                .message_group_id(&notice.recipe_id)
                .message_deduplication_id(bundle);
        }
        within(call.send()).await.map(drop)
    }

    /// Whether it is there for us.
    pub(super) async fn check(&self) -> Result<(), TargetError> {
        let asked = self
            .client
            .get_queue_attributes()
            .queue_url(self.url.as_str())
            .attribute_names(QueueAttributeName::QueueArn);
        within(asked.send()).await.map(drop)
    }
}

fn text(value: &str) -> Result<MessageAttributeValue, TargetError> {
    MessageAttributeValue::builder()
        .data_type("String")
        .string_value(value)
        .build()
        .map_err(|e| TargetError::Sqs(one_line(&e.to_string(), MAX_TEXT)))
}

async fn within<T, E, R>(call: impl Future<Output = Result<T, SdkError<E, R>>>) -> Result<T, TargetError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let answered = tokio::time::timeout(LIMIT, call).await;
    let answered = answered.map_err(|_| TargetError::Late(LIMIT))?;
    answered.map_err(|error| TargetError::Sqs(aws::said(&error)))
}
