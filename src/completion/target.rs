//! Who is told: a queue of SQS, a topic exchange, both or nobody.

use std::time::Duration;

use super::sqs::SqsQueue;
use super::{Notice, NoticeError};
use crate::config::{AwsConfig, BrokerConfig, CompletionsConfig};
use crate::consumer::{BrokerError, Exchange};

/// Why a target did not take a notice. All of these are worth another try later; none shows credentials.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// SQS said this, or cannot be reached.
    #[error("SQS: {0}")]
    Sqs(String),
    /// The broker said this, or cannot be reached.
    #[error("exchange: {0}")]
    Broker(#[from] BrokerError),
    /// No answer in time.
    #[error("SQS: no answer within {} s", .0.as_secs())]
    Late(Duration),
    /// The notice itself.
    #[error(transparent)]
    Notice(#[from] NoticeError),
}

/// One who is told.
#[derive(Debug)]
pub enum Target {
    /// `OC_SQS_QUEUE_URL`
    Sqs(SqsQueue),
    /// `COMPLETIONS_EXCHANGE`
    Exchange(Box<Exchange>),
}

impl Target {
    /// The word in the outbox.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sqs(_) => "sqs",
            Self::Exchange(_) => "exchange",
        }
    }

    /// Which it is, for people.
    pub fn shown(&self) -> String {
        match self {
            Self::Sqs(queue) => format!("SQS queue {}", queue.shown()),
            Self::Exchange(exchange) => format!("exchange `{}`", exchange.name()),
        }
    }

    /// `Ok`: it is stored there.
    pub async fn publish(&self, notice: &Notice) -> Result<(), TargetError> {
        let body = notice.to_json()?;
        match self {
            Self::Sqs(queue) => queue.publish(notice, &body).await,
            Self::Exchange(exchange) => {
                let bundle = notice.bundle_id.to_string();
                exchange
                    .publish(&notice.recipe_id, &bundle, body.as_bytes())
                    .await?;
                Ok(())
            }
        }
    }

    /// Whether it is there; an exchange that is missing is created.
    pub async fn check(&self) -> Result<(), TargetError> {
        match self {
            Self::Sqs(queue) => queue.check().await,
            Self::Exchange(exchange) => Ok(exchange.ensure().await?),
        }
    }
}

/// All who are told.
#[derive(Debug, Default)]
pub struct Targets(Vec<Target>);

impl Targets {
    /// Those that are configured; nothing is connected yet.
    pub async fn new(config: &CompletionsConfig, broker: &BrokerConfig, aws: &AwsConfig) -> Self {
        let mut targets = Vec::new();
        if let Some(url) = &config.sqs_queue_url {
            targets.push(Target::Sqs(SqsQueue::new(aws, url).await));
        }
        if let Some(exchange) = &config.exchange {
            targets.push(Target::Exchange(Box::new(Exchange::new(broker, exchange))));
        }
        Self(targets)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Target> {
        self.0.iter()
    }

    /// Closes what is connected.
    pub async fn close(&self) {
        for target in &self.0 {
            if let Target::Exchange(exchange) = target {
                exchange.close().await;
            }
        }
    }
}
