//! Keeps a session with the broker alive for as long as there is one to be had.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::Consumer;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_retry::strategy::{ExponentialBackoff, jitter};
use tokio_util::sync::CancellationToken;

use super::delivery::Delivery;
use super::error::BrokerError;
use super::session::Session;
use super::source::{BrokerStatus, Lines};
use super::verdict::Verdict;
use crate::config::BrokerConfig;

/// Longest pause between two tries.
const MAX_DELAY: Duration = Duration::from_secs(30);
/// A session that lasted this long makes the pauses short again.
const STEADY: Duration = Duration::from_secs(10);

/// How a session ended.
enum End {
    Lost(String),
    Stopped,
}

/// Connects, forwards deliveries, and connects again.
pub(super) struct Supervisor {
    broker: BrokerConfig,
    queue: Arc<str>,
    /// No new deliveries.
    stop: CancellationToken,
    /// No settling either.
    close: CancellationToken,
    status: watch::Sender<BrokerStatus>,
}

impl Supervisor {
    pub(super) fn new(broker: BrokerConfig, lines: Lines) -> Self {
        let Lines { stop, close, status } = lines;
        let queue = broker.queue.as_str().into();
        Self {
            broker,
            queue,
            stop,
            close,
            status,
        }
    }

    pub(super) async fn run(self, deliveries: mpsc::Sender<Delivery>) {
        let mut delays = delays();
        for number in 1.. {
            let opened = tokio::select! {
                biased;
                () = self.stopping() => return,
                opened = Session::open(number, &self.broker) => opened,
            };
            let (reason, ended) = match opened {
                Ok((session, consumer)) => {
                    let since = Instant::now();
                    let session = Arc::new(session);
                    self.up(number);
                    match self.serve(&session, consumer, &deliveries).await {
                        End::Stopped => {
                            drop(deliveries);
                            self.close.cancelled().await;
                            return session.end().await;
                        }
                        End::Lost(reason) => {
                            session.mark_lost();
                            if since.elapsed() >= STEADY {
                                delays = self::delays();
                            }
                            (reason, Some(session))
                        }
                    }
                }
                Err(error) => (error.to_string(), None),
            };
            self.down(&reason);
            let pause = tokio::time::sleep(delays.next().unwrap_or(MAX_DELAY));
            let farewell = async {
                if let Some(session) = ended {
                    session.end().await;
                }
            };
            tokio::select! {
                biased;
                () = self.stopping() => return,
                _ = async { tokio::join!(pause, farewell) } => {}
            }
        }
    }

    /// Forwards what comes until the session or the source ends. The buffer keeps the stream's end in
    /// sight while the worker is busy; the prefetch bounds it.
    async fn serve(
        &self,
        session: &Arc<Session>,
        mut consumer: Consumer,
        out: &mpsc::Sender<Delivery>,
    ) -> End {
        let mut waiting = VecDeque::new();
        loop {
            tokio::select! {
                biased;
                () = self.stopping() => break,
                item = consumer.next() => match item {
                    Some(Ok(delivery)) => {
                        waiting.push_back(Delivery::amqp(Arc::clone(session), Arc::clone(&self.queue), delivery));
                    }
                    Some(Err(error)) => return End::Lost(BrokerError::from(error).to_string()),
                    None => return End::Lost(format!("the broker cancelled the consumer of {}", self.queue)),
                },
                permit = out.reserve(), if !waiting.is_empty() => match (permit, waiting.pop_front()) {
                    (Ok(permit), Some(delivery)) => permit.send(delivery),
                    _ => break,
                },
            }
        }
        if session.cancel_consumer().await.is_ok() {
            while let Some(Ok(delivery)) = consumer.next().await {
                waiting.push_back(Delivery::amqp(
                    Arc::clone(session),
                    Arc::clone(&self.queue),
                    delivery,
                ));
            }
        }
        for delivery in waiting {
            delivery.settle(&Verdict::RetryLater).await;
        }
        End::Stopped
    }

    async fn stopping(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.close.cancelled() => {}
        }
    }

    fn up(&self, session: u64) {
        let broker = &self.broker.shown;
        tracing::info!(broker, queue = %self.queue, session, "connected to the broker, consuming");
        self.status.send_replace(BrokerStatus::Connected);
    }

    /// One line for a loss, and one more whenever the reason changes.
    fn down(&self, reason: &str) {
        let broker = &self.broker.shown;
        let before = self.status.send_replace(BrokerStatus::Down(reason.to_owned()));
        match before {
            BrokerStatus::Connected => {
                tracing::warn!(broker, reason, "lost the broker, trying again until it is back");
            }
            BrokerStatus::Down(old) if old != reason => {
                tracing::warn!(
                    broker,
                    reason,
                    "cannot consume from the broker, trying until it is there"
                );
            }
            BrokerStatus::Down(_) => tracing::debug!(broker, reason, "still cannot consume"),
        }
    }
}

/// 500 ms, doubling up to [`MAX_DELAY`], each shortened by up to a half so that workers do not come in step.
fn delays() -> impl Iterator<Item = Duration> + Send {
    // The argument is the base of the power: 2^n × 250 ms.
    let doubling = ExponentialBackoff::from_millis(2)
        .factor(250)
        .max_delay(MAX_DELAY);
    doubling.map(|full| full / 2 + jitter(full / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_limit() {
        let within = |n: usize, full: Duration| {
            let delay = delays().nth(n).unwrap();
            assert!(delay >= full / 2 && delay <= full, "{n}: {delay:?}");
        };
        within(0, Duration::from_millis(500));
        within(1, Duration::from_secs(1));
        within(3, Duration::from_secs(4));
        within(60, MAX_DELAY);
    }
}
