//! Keeps what is in hand invisible to others, and knows what could not be kept.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry as Entry;
use tokio_util::sync::CancellationToken;

use super::queue::{SqsQueue, within};

/// SQS keeps nothing invisible for longer, counted from its receipt; a little earlier it is let go.
const LONGEST: Duration = Duration::from_mins(12 * 60 - 5);

/// Before SQS is asked again that did not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// Messages in one call.
const BATCH: usize = 10;

/// One message in hand.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) receipt: String,
    since: Instant,
    /// Until when it is certainly invisible.
    until: Mutex<Instant>,
    gone: AtomicBool,
}

impl Held {
    /// `asked`: when the call began that brought it.
    pub(super) fn new(receipt: &str, asked: Instant, visibility: Duration) -> Self {
        Self {
            receipt: receipt.to_owned(),
            since: asked,
            until: Mutex::new(asked + visibility),
            gone: AtomicBool::new(false),
        }
    }

    /// Whether it is certainly nobody else's.
    pub(super) fn is_ours(&self) -> bool {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        !self.gone.load(Ordering::Acquire) && Instant::now() < until
    }

    /// It is no longer ours, or was dealt with.
    pub(super) fn let_go(&self) {
        self.gone.store(true, Ordering::Release);
    }
}

/// All that is in hand.
#[derive(Debug, Clone, Default)]
pub(super) struct Hold(Arc<Mutex<HashMap<u64, Arc<Held>>>>);

impl Hold {
    pub(super) fn add(&self, number: u64, held: &Arc<Held>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, Arc::clone(held));
    }

    pub(super) fn remove(&self, number: u64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&number);
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn all(&self) -> Vec<Arc<Held>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.values()
            .filter(|held| !held.gone.load(Ordering::Acquire))
            .cloned()
            .collect()
    }

    /// Extends all of it, each third of `visibility`, and where that fails soon again, until told to stop.
    pub(super) async fn keep(self, queue: Arc<SqsQueue>, visibility: Duration, stop: CancellationToken) {
        let usual = (visibility / 3).max(Duration::from_millis(300));
        let mut pause = usual;
        while stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_some()
        {
            let all = self.all();
            let batches = all.chunks(BATCH).map(|batch| extend(&queue, batch, visibility));
            // Beside each other: one that hangs must not cost the others their time.
            let extended = futures_util::future::join_all(batches).await;
            pause = if extended.contains(&false) {
                usual.min(AGAIN)
            } else {
                usual
            };
        }
    }
}

/// False: SQS did not answer.
async fn extend(queue: &SqsQueue, batch: &[Arc<Held>], visibility: Duration) -> bool {
    let asked = Instant::now();
    let seconds = i32::try_from(visibility.as_secs()).unwrap_or(43_200);
    let mut entries = Vec::with_capacity(batch.len());
    for (index, held) in batch.iter().enumerate() {
        if !held.is_ours() {
            // It may be somebody else's already, and must not come alive again.
            held.let_go();
            continue;
        }
        if held.since.elapsed() + visibility > LONGEST {
            tracing::warn!("a message was in work for 12 hours, longer than SQS holds one: it comes again");
            held.let_go();
            continue;
        }
        let entry = Entry::builder()
            .id(index.to_string())
            .receipt_handle(&held.receipt)
            .visibility_timeout(seconds)
            .build();
        entries.extend(entry.ok());
    }
    if entries.is_empty() {
        return true;
    }
    let Ok(url) = queue.url().await else { return false };
    let call = queue
        .client()
        .await
        .change_message_visibility_batch()
        .queue_url(url)
        .set_entries(Some(entries))
        .send();
    match within(call).await {
        Ok(done) => {
            for extended in done.successful() {
                if let Some(held) = extended
                    .id()
                    .parse()
                    .ok()
                    .and_then(|index: usize| batch.get(index))
                {
                    *held.until.lock().unwrap_or_else(PoisonError::into_inner) = asked + visibility;
                }
            }
            for refused in done.failed().iter().filter(|refused| refused.sender_fault()) {
                if let Some(held) = refused
                    .id()
                    .parse()
                    .ok()
                    .and_then(|index: usize| batch.get(index))
                {
                    tracing::debug!(code = refused.code(), "a message is no longer ours");
                    held.let_go();
                }
            }
            true
        }
        // Those that run out meanwhile are lost by that alone.
        Err(error) => {
            tracing::warn!(%error, "messages in hand cannot be kept invisible; trying again");
            false
        }
    }
}
