//! The source of deliveries, as the worker sees it.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::delivery::Delivery;
use super::sqs::{Receiving, SqsQueue};
use super::supervisor::Supervisor;
use super::verdict::Verdict;
use crate::config::BrokerConfig;

/// For an orderly close of everything.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// How it stands with the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerStatus {
    /// Consuming.
    Connected,
    /// Not consuming, for this reason (one line, no credentials); a new try follows.
    Down(String),
}

/// Deliveries of the main queue. Runs a task of its own that connects, and connects again after every
/// loss, until it is stopped or dropped.
#[derive(Debug)]
pub struct Source {
    deliveries: mpsc::Receiver<Delivery>,
    stop: CancellationToken,
    close: DropGuard,
    task: JoinHandle<()>,
}

/// What the task behind a source is told by, and tells.
pub(super) struct Lines {
    /// No new deliveries.
    pub(super) stop: CancellationToken,
    /// The end.
    pub(super) close: CancellationToken,
    /// How it stands.
    pub(super) status: watch::Sender<BrokerStatus>,
}

impl Source {
    /// From AMQP. Begins to connect and returns at once: a broker that is not there yet is waited for. When
    /// `shutdown` is cancelled, consuming stops as with [`Self::stop_consuming`].
    pub fn amqp(
        broker: &BrokerConfig,
        shutdown: &CancellationToken,
    ) -> (Self, watch::Receiver<BrokerStatus>) {
        let broker = broker.clone();
        Self::start(shutdown, |lines, out| {
            tokio::spawn(Supervisor::new(broker, lines).run(out))
        })
    }

    /// The same from SQS, where at most `prefetch` are in hand at once, and kept invisible.
    pub fn sqs(
        queue: SqsQueue,
        prefetch: u16,
        shutdown: &CancellationToken,
    ) -> (Self, watch::Receiver<BrokerStatus>) {
        Self::start(shutdown, |lines, out| {
            tokio::spawn(Receiving::new(queue, prefetch, lines).run(out))
        })
    }

    fn start(
        shutdown: &CancellationToken,
        spawn: impl FnOnce(Lines, mpsc::Sender<Delivery>) -> JoinHandle<()>,
    ) -> (Self, watch::Receiver<BrokerStatus>) {
        let (sender, deliveries) = mpsc::channel(1);
        let (status, watcher) = watch::channel(BrokerStatus::Down("not connected yet".to_owned()));
        let stop = shutdown.child_token();
        let close = CancellationToken::new();
        let lines = Lines {
            stop: stop.clone(),
            close: close.clone(),
            status,
        };
        let source = Self {
            deliveries,
            stop,
            close: close.drop_guard(),
            task: spawn(lines, sender),
        };
        (source, watcher)
    }

    /// The next delivery; none after consuming was stopped. May be cancelled without losing any.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            let delivery = self.deliveries.recv().await?;
            if self.stop.is_cancelled() {
                delivery.settle(&Verdict::RetryLater).await;
            } else if delivery.is_live() {
                return Some(delivery);
            }
        }
    }

    /// Takes nothing new and gives back what was not yet handed out; what is in hand can still be settled
    /// until [`Self::close`].
    pub async fn stop_consuming(&mut self) {
        self.stop.cancel();
        while self.next().await.is_some() {}
    }

    /// Ends in order. What was not settled is then lost here, and comes again.
    pub async fn close(mut self) {
        self.stop_consuming().await;
        self.close.disarm().cancel();
        if tokio::time::timeout(CLOSE_LIMIT, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}
