//! What operators do with dead letters, on SQS. A look makes letters invisible to others for a while; what is not
//! taken away is visible again when it ends, or a minute later.

use std::collections::HashSet;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};

use super::attributes;
use super::queue::{SqsQueue, within};
use crate::consumer::letter::beginning;
use crate::consumer::redrive::{
    Listing, Redrive, RedriveError, Redriven, fresh_id, is_of_a_dispatch, reopen,
};
use crate::consumer::{BrokerError, Letter};
use crate::domain::one_line;
use crate::message::Reason;
use crate::repository::Reopened;

/// Seconds for which a letter that is looked at is invisible.
const LOOK: i32 = 60;

/// Letters in one call.
const BATCH: i32 = 10;

/// Longest text shown, in characters.
const SHOWN: usize = 1000;

/// Calls in a row that bring nothing, after which there is nothing: SQS asks only some of its machines.
const EMPTY: usize = 3;

/// A look through the letters that were there when it began.
struct Look<'a> {
    queue: &'a SqsQueue,
    url: String,
    there: u32,
    looked: u32,
    /// Receipts of what stays.
    back: Vec<String>,
    seen: HashSet<String>,
}

impl<'a> Look<'a> {
    async fn open(queue: &'a SqsQueue) -> Result<Option<Self>, BrokerError> {
        let Some(url) = queue.dead_url_if_there().await? else {
            return Ok(None);
        };
        let count = QueueAttributeName::ApproximateNumberOfMessages;
        let asked = queue
            .client()
            .await
            .get_queue_attributes()
            .queue_url(&url)
            .attribute_names(count.clone())
            .send();
        let found = within(asked).await?;
        let there = found.attributes().and_then(|all| all.get(&count));
        Ok(Some(Self {
            queue,
            url,
            there: there.and_then(|text| text.parse().ok()).unwrap_or(0),
            looked: 0,
            back: Vec::new(),
            seen: HashSet::new(),
        }))
    }

    /// Some more of them; none when all were seen.
    async fn next(&mut self) -> Result<Vec<Message>, BrokerError> {
        let left = self.there.saturating_sub(self.looked);
        for _ in 0..EMPTY {
            if left == 0 {
                break;
            }
            let call = self
                .queue
                .client()
                .await
                .receive_message()
                .queue_url(&self.url)
                .max_number_of_messages(BATCH.min(i32::try_from(left).unwrap_or(BATCH)))
                .visibility_timeout(LOOK)
                .wait_time_seconds(1)
                .message_attribute_names("All")
                .message_system_attribute_names(MessageSystemAttributeName::All)
                .send();
            let mut found = within(call).await?.messages.unwrap_or_default();
            // A long look may meet again what it has seen.
            found.retain(|message| {
                self.seen
                    .insert(message.message_id().unwrap_or_default().to_owned())
            });
            if !found.is_empty() {
                self.looked += u32::try_from(found.len()).unwrap_or(0);
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    fn keep(&mut self, message: &Message) {
        self.back.extend(message.receipt_handle().map(str::to_owned));
    }

    /// Makes visible again what stays.
    async fn end(self) {
        for receipt in &self.back {
            // One that cannot be asked for any more is visible again by itself.
            if let Err(error) = self.queue.show_again(&self.url, receipt, 0).await {
                tracing::debug!(%error, "a letter is visible again a little later");
            }
        }
    }
}

fn letter(message: &Message) -> Letter {
    let word = |name| attributes::word(message, name).map(|text| one_line(text, SHOWN));
    let body = message.body().unwrap_or_default().as_bytes();
    Letter {
        message_id: attributes::message_id(message).map(|id| one_line(&id, SHOWN)),
        reason: word("x-herald-reason"),
        error: word("x-herald-error"),
        attempts: word("x-herald-attempts").and_then(|text| text.parse().ok()),
        dead_at: word("x-herald-dead-at"),
        dispatch_id: word("x-herald-dispatch"),
        bytes: body.len(),
        body: beginning(body),
    }
}

/// The letters with this reason among the first `limit`; none is taken away.
pub(in crate::consumer) async fn list(
    queue: &SqsQueue,
    reason: Option<Reason>,
    limit: u32,
) -> Result<Listing, BrokerError> {
    let mut letters = Vec::new();
    let Some(mut look) = Look::open(queue).await? else {
        return Ok(Listing {
            letters,
            looked: 0,
            there: 0,
        });
    };
    let mut seen = Ok(());
    while look.looked < limit {
        match look.next().await {
            Ok(found) if found.is_empty() => break,
            Ok(found) => {
                for message in &found {
                    look.keep(message);
                    letters.push(letter(message));
                }
            }
            Err(error) => {
                seen = Err(error);
                break;
            }
        }
    }
    let (looked, there) = (look.looked, look.there);
    look.end().await;
    seen?;
    letters.retain(|letter| letter.is_for(reason));
    letters.sort_by(|a, b| a.dead_at.cmp(&b.dead_at));
    letters.truncate(limit as usize);
    Ok(Listing {
        letters,
        looked,
        there,
    })
}

/// Drops or replays the letters with this reason, of those that are there when it begins.
pub(in crate::consumer) async fn redrive(
    queue: &SqsQueue,
    what: &Redrive,
    reason: Option<Reason>,
    mut progress: impl FnMut(u32, u32),
) -> Redriven {
    let mut seen = Redriven::default();
    let mut look = match Look::open(queue).await {
        Ok(Some(look)) => look,
        Ok(None) => return seen,
        Err(error) => {
            seen.error = Some(error.into());
            return seen;
        }
    };
    let worked = work(&mut look, what, reason, &mut seen, &mut progress).await;
    look.end().await;
    seen.error = worked.err();
    seen
}

async fn work(
    look: &mut Look<'_>,
    what: &Redrive,
    reason: Option<Reason>,
    seen: &mut Redriven,
    progress: &mut impl FnMut(u32, u32),
) -> Result<(), RedriveError> {
    loop {
        let found = look.next().await?;
        if found.is_empty() {
            return Ok(());
        }
        let mut failed = None;
        for message in &found {
            let letter = letter(message);
            if failed.is_some() || !letter.is_for(reason) {
                look.keep(message);
                seen.others += 1;
                continue;
            }
            match one(look, what, message, &letter).await {
                Ok(()) => seen.done += 1,
                Err(error) => {
                    look.keep(message);
                    failed = Some(error);
                }
            }
        }
        progress(look.looked, look.there);
        if let Some(error) = failed {
            return Err(error);
        }
    }
}

async fn one(
    look: &Look<'_>,
    what: &Redrive,
    message: &Message,
    letter: &Letter,
) -> Result<(), RedriveError> {
    if let Redrive::Replay(db, now) = what {
        if is_of_a_dispatch(letter) {
            let _: Reopened = reopen(db, *now, letter).await?;
        }
        let body = message.body().unwrap_or_default().as_bytes();
        let old = attributes::message_id(message).unwrap_or_default();
        let conflict = letter.is_for(Some(Reason::MessageIdConflict));
        let fresh = conflict.then(|| fresh_id(&old, letter.dead_at.as_deref(), body).to_string());
        let attributes = attributes::of_replay(message, fresh.as_deref());
        let deduplication = format!(
            "{}-{}",
            fresh.unwrap_or(old),
            letter.dead_at.as_deref().unwrap_or("again")
        );
        let name = MessageSystemAttributeName::MessageGroupId;
        let group = message.attributes().and_then(|all| all.get(&name)).cloned();
        let group = look
            .queue
            .is_fifo()
            .then(|| (group.unwrap_or_else(|| "herald".into()), deduplication));
        look.queue
            .send(look.queue.url().await?, body, attributes, group)
            .await?;
    }
    let receipt = message.receipt_handle().unwrap_or_default();
    Ok(look.queue.delete(&look.url, receipt).await?)
}
