//! Receives in batches by long polling, never more than may be in work, and connects again after every loss.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use tokio::sync::{mpsc, watch};
use tokio_retry::strategy::{ExponentialBackoff, jitter};
use tokio_util::sync::CancellationToken;

use super::attributes;
use super::hold::{Held, Hold};
use super::origin::SqsOrigin;
use super::queue::{SqsQueue, refused};
use crate::consumer::source::Lines;
use crate::consumer::{BrokerError, BrokerStatus, Delivery, Verdict};

/// Seconds that a call waits for messages.
const POLL: i32 = 20;

/// Messages in one call.
const BATCH: usize = 10;

/// Between two looks whether something may be received again.
const CROWDED: Duration = Duration::from_millis(20);

/// Longest pause between two tries.
const MAX_DELAY: Duration = Duration::from_secs(30);

/// The task behind a source: receives until it is stopped, and keeps what is in hand until it is closed.
pub(in crate::consumer) struct Receiving {
    queue: Arc<SqsQueue>,
    name: Arc<str>,
    prefetch: usize,
    hold: Hold,
    stop: CancellationToken,
    close: CancellationToken,
    status: watch::Sender<BrokerStatus>,
}

impl Receiving {
    pub(in crate::consumer) fn new(queue: SqsQueue, prefetch: u16, lines: Lines) -> Self {
        let Lines { stop, close, status } = lines;
        Self {
            name: queue.name.as_str().into(),
            queue: Arc::new(queue),
            prefetch: prefetch.into(),
            hold: Hold::default(),
            stop,
            close,
            status,
        }
    }

    pub(in crate::consumer) async fn run(self, out: mpsc::Sender<Delivery>) {
        let Some(visibility) = self.connect().await else {
            return;
        };
        let keeping = self
            .hold
            .clone()
            .keep(Arc::clone(&self.queue), visibility, self.close.clone());
        let keeping = tokio::spawn(keeping);
        let mut number = 0;
        let mut delays = delays();
        while !self.stop.is_cancelled() {
            match self.receive(visibility, &mut number, &out).await {
                Ok(()) => {
                    self.up();
                    delays = self::delays();
                }
                Err(error) => {
                    self.down(&error.to_string());
                    self.pause(delays.next()).await;
                }
            }
        }
        drop(out);
        let _ = keeping.await;
    }

    /// Waits until the queue is there.
    async fn connect(&self) -> Option<Duration> {
        let mut delays = delays();
        loop {
            let asked = self.stop.run_until_cancelled(self.queue.visibility()).await?;
            match asked {
                Ok(visibility) => {
                    self.up();
                    return Some(visibility.max(Duration::from_secs(1)));
                }
                Err(error) => self.down(&error.to_string()),
            }
            self.pause(delays.next()).await;
        }
    }

    async fn pause(&self, delay: Option<Duration>) {
        let pause = tokio::time::sleep(delay.unwrap_or(MAX_DELAY));
        self.stop.run_until_cancelled(pause).await;
    }

    /// One call, and its messages handed out.
    async fn receive(
        &self,
        visibility: Duration,
        number: &mut u64,
        out: &mpsc::Sender<Delivery>,
    ) -> Result<(), BrokerError> {
        let room = self.prefetch.saturating_sub(self.hold.len());
        if room == 0 {
            self.pause(Some(CROWDED)).await;
            return Ok(());
        }
        let asked = Instant::now();
        let call = self.poll(i32::try_from(room.min(BATCH)).unwrap_or(1), visibility);
        // What SQS gives to a call that is cut off here comes again after its visibility timeout.
        let Some(received) = self.stop.run_until_cancelled(call).await else {
            return Ok(());
        };
        // The wait is the server's, so the time of the answer is nearer to that of the receipt.
        let received = received?;
        let since = asked.max(
            Instant::now()
                .checked_sub(Duration::from_secs(1))
                .unwrap_or(asked),
        );
        let mut waiting = Vec::with_capacity(received.len());
        for message in received {
            *number += 1;
            waiting.extend(self.delivery(message, *number, since, visibility));
        }
        for delivery in waiting {
            if let Err(unsent) = out.send(delivery).await {
                unsent.0.settle(&Verdict::RetryLater).await;
            }
        }
        Ok(())
    }

    async fn poll(&self, most: i32, visibility: Duration) -> Result<Vec<Message>, BrokerError> {
        // After an outage an answer says at once that it is over.
        let wait = if *self.status.borrow() == BrokerStatus::Connected {
            POLL
        } else {
            0
        };
        let call = self
            .queue
            .client()
            .await
            .receive_message()
            .queue_url(self.queue.url().await?)
            .max_number_of_messages(most)
            .wait_time_seconds(wait)
            // What was read at the start, should the queue's own change meanwhile.
            .visibility_timeout(i32::try_from(visibility.as_secs()).unwrap_or(43_200))
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .send();
        let limit = Duration::from_secs(POLL.unsigned_abs().into()) + super::queue::CALL_LIMIT;
        let answer = tokio::time::timeout(limit, Box::pin(call)).await;
        let answer = answer.map_err(|_| BrokerError::Timeout(limit))?;
        let answer = answer.map_err(|error| refused(&error))?;
        Ok(answer.messages.unwrap_or_default())
    }

    fn delivery(
        &self,
        message: Message,
        number: u64,
        since: Instant,
        visibility: Duration,
    ) -> Option<Delivery> {
        let held = Arc::new(Held::new(message.receipt_handle()?, since, visibility));
        let body = message.body().unwrap_or_default().as_bytes().to_vec();
        let id = attributes::message_id(&message);
        let redelivered = SqsOrigin::received(&message) > 1;
        let origin = SqsOrigin::new(&self.queue, message, held, number, &self.hold);
        Some(Delivery::sqs(
            Arc::clone(&self.name),
            body,
            id,
            redelivered,
            origin,
        ))
    }

    fn up(&self) {
        if self.status.send_if_modified(|status| {
            let was_down = *status != BrokerStatus::Connected;
            *status = BrokerStatus::Connected;
            was_down
        }) {
            tracing::info!(broker = self.queue.shown(), queue = %self.name, "receiving");
        }
    }

    fn down(&self, reason: &str) {
        let before = self.status.send_replace(BrokerStatus::Down(reason.to_owned()));
        if before != BrokerStatus::Down(reason.to_owned()) {
            let broker = self.queue.shown();
            tracing::warn!(broker, queue = %self.name, reason, "cannot receive, trying until it is there");
        }
    }
}

/// 500 ms, doubling up to [`MAX_DELAY`], each shortened by up to a half.
fn delays() -> impl Iterator<Item = Duration> + Send {
    let doubling = ExponentialBackoff::from_millis(2)
        .factor(250)
        .max_delay(MAX_DELAY);
    doubling.map(|full| full / 2 + jitter(full / 2))
}
