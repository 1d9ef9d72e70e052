//! What operators do with dead letters: look, replay, drop.
//!
//! Guarantee: a letter that is to be replayed is acked only after the broker has confirmed its copy in the
//! main queue, or the ledger its reopened dispatch. Killed in between, a letter may be there twice, and is
//! never lost.

use chrono::NaiveDateTime;
use lapin::message::Delivery;
use lapin::types::ShortString;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::dead_letter;
use super::dead_letters::DeadLetters;
use super::error::BrokerError;
use super::letter::{Letter, message_id};
use crate::config::BrokerConfig;
use crate::domain::DispatchId;
use crate::message::Reason;
use crate::repository::{self, Database, DbError, Reopened};

/// The letters of a queue.
#[derive(Debug)]
pub struct Listing {
    /// Those asked for, oldest first.
    pub letters: Vec<Letter>,
    /// How many were looked at.
    pub looked: u32,
    /// How many there were.
    pub there: u32,
}

/// What becomes of letters.
#[derive(Clone)]
pub enum Redrive {
    /// They are taken away.
    Drop,
    /// They go back to the main queue, and dispatches of this ledger are reopened at this time.
    Replay(Database, NaiveDateTime),
}

/// How far it came.
#[derive(Debug, Default)]
pub struct Redriven {
    /// Letters dropped or replayed.
    pub done: u32,
    /// Letters that were not asked for and stay.
    pub others: u32,
    /// What ended it early.
    pub error: Option<RedriveError>,
}

/// Why it ended early.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// The broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The ledger, in which a dispatch was to be reopened.
    #[error("the ledger: {0}")]
    Database(#[from] DbError),
}

/// The letters with this reason among the first `limit`; none is taken away.
pub(super) async fn list(
    broker: &BrokerConfig,
    reason: Option<Reason>,
    limit: u32,
) -> Result<Listing, BrokerError> {
    let mut queue = DeadLetters::open(broker).await?;
    let mut letters = Vec::new();
    let mut look = async || -> Result<(), BrokerError> {
        while queue.looked < limit
            && let Some(delivery) = queue.next().await?
        {
            let letter = Letter::new(&delivery);
            if letter.is_for(reason) {
                letters.push(letter);
            }
        }
        Ok(())
    };
    let seen = look().await;
    let (looked, there) = (queue.looked, queue.there);
    let ended = queue.end().await;
    seen.and(ended)?;
    Ok(Listing {
        letters,
        looked,
        there,
    })
}

/// Drops or replays the letters with this reason, of those that are there when it begins; the others stay
/// as they are. `progress` is told after each letter how many were looked at and how many there are.
pub(super) async fn redrive(
    broker: &BrokerConfig,
    what: &Redrive,
    reason: Option<Reason>,
    progress: impl FnMut(u32, u32),
) -> Redriven {
    let mut seen = Redriven::default();
    let mut queue = match DeadLetters::open(broker).await {
        Ok(queue) => queue,
        Err(error) => {
            seen.error = Some(error.into());
            return seen;
        }
    };
    let worked = work(&mut queue, what, reason, &mut seen, progress).await;
    let ended = queue.end().await.map_err(RedriveError::from);
    seen.error = worked.and(ended).err();
    seen
}

async fn work(
    queue: &mut DeadLetters,
    what: &Redrive,
    reason: Option<Reason>,
    seen: &mut Redriven,
    mut progress: impl FnMut(u32, u32),
) -> Result<(), RedriveError> {
    if matches!(what, Redrive::Replay(..)) && queue.there > 0 {
        queue.ensure_main_queue().await?;
    }
    while let Some(delivery) = queue.next().await? {
        let letter = Letter::new(&delivery);
        if letter.is_for(reason) {
            if let Redrive::Replay(db, now) = what {
                replay(queue, db, *now, &delivery, &letter).await?;
            }
            queue.remove(&delivery).await?;
            seen.done += 1;
        } else {
            seen.others += 1;
        }
        progress(queue.looked, queue.there);
    }
    Ok(())
}

/// Gives the letter a life outside the dead-letter queue.
async fn replay(
    queue: &DeadLetters,
    db: &Database,
    now: NaiveDateTime,
    delivery: &Delivery,
    letter: &Letter,
) -> Result<(), RedriveError> {
    let mut properties = dead_letter::replayed(&delivery.properties);
    if is_of_a_dispatch(letter)
        && reopen(db, now, letter).await? != Reopened::NotFound
        && letter.message_id.is_none()
    {
        // The ledger has the message. Without an id its copy would be another one, and mail everybody again.
        return Ok(());
    }
    if letter.is_for(Some(Reason::MessageIdConflict))
        && let Some(id) = message_id(&delivery.properties)
    {
        let fresh = fresh_id(id, letter.dead_at.as_deref(), &delivery.data);
        properties = properties.with_message_id(fresh);
    }
    Ok(queue.publish(&delivery.data, properties).await?)
}

/// Whether its dispatch ended with it, and is to be reopened.
pub(super) fn is_of_a_dispatch(letter: &Letter) -> bool {
    letter.is_for(Some(Reason::Exhausted)) || letter.is_for(Some(Reason::Attachment))
}

pub(super) async fn reopen(db: &Database, now: NaiveDateTime, letter: &Letter) -> Result<Reopened, DbError> {
    let id = letter.dispatch_id.as_ref().and_then(|id| id.parse().ok());
    match id {
        Some(id) => {
            let id: DispatchId = id;
            db.write(move |conn| repository::reopen_dead(conn, id, now)).await
        }
        None => Ok(Reopened::NotFound),
    }
}

/// The new id of a conflicting message: the same for the same letter, so that one replayed twice because the
/// first replay was killed is sent once.
pub(super) fn fresh_id(old: &str, dead_at: Option<&str>, body: &[u8]) -> ShortString {
    let id = match dead_at {
        Some(dead_at) => {
            let mut hasher = Sha256::new();
            for part in [old.as_bytes(), dead_at.as_bytes(), body] {
                hasher.update((part.len() as u64).to_be_bytes());
                hasher.update(part);
            }
            let hash: [u8; 32] = hasher.finalize().into();
            let (half, _) = hash.split_at(16);
            half.try_into().map_or_else(
                |_| Uuid::new_v4(),
                |bytes| uuid::Builder::from_custom_bytes(bytes).into_uuid(),
            )
        }
        None => Uuid::new_v4(),
    };
    id.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_letter_gets_the_same_new_id() {
        let at = Some("2026-11-20T16:19:20.810Z");
        let id = fresh_id("m-1", at, b"{}");
        assert_eq!(fresh_id("m-1", at, b"{}"), id);
        assert_eq!(
            id.as_str().parse::<Uuid>().map(|u| u.to_string()),
            Ok(id.to_string())
        );
        let others = [
            fresh_id("m-2", at, b"{}"),
            fresh_id("m-1", at, b"{ }"),
            fresh_id("m-1", Some("2026-11-20T16:19:20.811Z"), b"{}"),
            fresh_id("m-1", None, b"{}"),
        ];
        assert!(!others.contains(&id));
        assert_ne!(fresh_id("m-1", None, b"{}"), fresh_id("m-1", None, b"{}"));
    }
}
