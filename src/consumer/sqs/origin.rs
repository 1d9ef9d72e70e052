//! Where a delivery came from, and how it goes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use tokio_retry::Retry;
use tokio_retry::strategy::{ExponentialBackoff, jitter};

use super::attributes;
use super::hold::{Held, Hold};
use super::queue::SqsQueue;
use crate::consumer::{BrokerError, Settled, Verdict};
use crate::failpoint;

/// Tries of a call that settles something, beyond the first.
const TRIES: usize = 4;

/// Seconds until a message that cannot be a dead letter is visible again.
const LATER: i32 = 300;

/// Seconds until a message that is given back is visible again.
const SOON: i32 = 1;

/// A received message.
pub(in crate::consumer) struct SqsOrigin {
    queue: Arc<SqsQueue>,
    message: Message,
    held: Arc<Held>,
    number: u64,
    hold: Hold,
    deleted: AtomicBool,
}

impl SqsOrigin {
    pub(super) fn new(
        queue: &Arc<SqsQueue>,
        message: Message,
        held: Arc<Held>,
        number: u64,
        all: &Hold,
    ) -> Self {
        all.add(number, &held);
        Self {
            queue: Arc::clone(queue),
            message,
            held,
            number,
            hold: all.clone(),
            deleted: AtomicBool::new(false),
        }
    }

    /// How often SQS has given it out before.
    pub(super) fn received(message: &Message) -> u64 {
        let name = MessageSystemAttributeName::ApproximateReceiveCount;
        let count = message.attributes().and_then(|all| all.get(&name));
        count.and_then(|text| text.parse().ok()).unwrap_or(1)
    }

    pub(in crate::consumer) fn is_live(&self) -> bool {
        self.held.is_ours()
    }

    /// Whether SQS has deleted it.
    pub(in crate::consumer) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Carries the verdict out.
    pub(in crate::consumer) async fn settle(&self, verdict: &Verdict) -> Settled {
        let done = match verdict {
            Verdict::Ack => self.delete().await,
            Verdict::RetryLater => {
                let Ok(url) = self.queue.url().await else {
                    return Settled::Lost;
                };
                // Its receive count grows, so that the queue's own redrive policy acts.
                // First, so that no extension under way begins behind it.
                self.held.let_go();
                self.queue.show_again(url, &self.held.receipt, SOON).await
            }
            Verdict::DeadLetter(letter) => {
                failpoint::reached("s1-before");
                match self.publish_dead(letter).await {
                    Ok(()) => {}
                    Err(error @ BrokerError::Unfit(_)) => return self.leave(error).await,
                    Err(error) => return Settled::Failed(error),
                }
                failpoint::reached("s1-published");
                self.delete().await
            }
        };
        match done {
            Ok(()) => Settled::Done,
            Err(error) => {
                tracing::info!(%error, "a message is not settled; SQS brings it again");
                Settled::Lost
            }
        }
    }

    async fn delete(&self) -> Result<(), BrokerError> {
        let url = self.queue.url().await?;
        Retry::start(waits(), || self.queue.delete(url, &self.held.receipt)).await?;
        self.deleted.store(true, Ordering::Release);
        self.held.let_go();
        failpoint::reached("s6-acked");
        Ok(())
    }

    /// No dead letter can be made of it: it comes again, so that the queue's own redrive policy acts.
    async fn leave(&self, error: BrokerError) -> Settled {
        tracing::error!(%error, "SQS does not take this dead letter; the queue's redrive policy has to deal with it");
        self.held.let_go();
        if let Ok(url) = self.queue.url().await {
            let _ = self.queue.show_again(url, &self.held.receipt, LATER).await;
        }
        Settled::Lost
    }

    async fn publish_dead(&self, letter: &crate::consumer::DeadLetter) -> Result<(), BrokerError> {
        let attributes = attributes::of_letter(&self.message, letter);
        let group = self.queue.is_fifo().then(|| {
            let name = MessageSystemAttributeName::MessageGroupId;
            let group = self.message.attributes().and_then(|all| all.get(&name));
            // SQS's own: a second letter of the same message within minutes is the same letter.
            let id = self.message.message_id().unwrap_or_default().to_owned();
            (group.cloned().unwrap_or_else(|| "herald".into()), id)
        });
        let body = self.message.body().unwrap_or_default().as_bytes();
        match self.queue.send_dead(body, attributes, group.clone()).await {
            Err(BrokerError::Unfit(_)) => {
                let least = attributes::least_of_letter(&self.message, letter);
                self.queue.send_dead(body, least, group).await
            }
            sent => sent,
        }
    }
}

impl Drop for SqsOrigin {
    fn drop(&mut self) {
        self.hold.remove(self.number);
    }
}

fn waits() -> impl Iterator<Item = Duration> {
    ExponentialBackoff::from_millis(2)
        .factor(100)
        .map(jitter)
        .take(TRIES)
}
