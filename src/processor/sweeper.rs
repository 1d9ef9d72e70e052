//! Takes up what nobody works on: waiting dispatches whose time has come, and running ones whose worker is
//! gone together with their message. Rows are handed over under their dispatch's lease only, like any
//! others (rule R2).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Processor;
use super::engine::Engine;
use super::telling::tell_turn;
use crate::domain::DispatchId;
use crate::repository::{self, Claim, DbError, Seen, Unattended};

/// Dispatches that the sweeper works on at once.
const SWEPT: usize = 16;

/// Between two rounds at most.
const ROUND: Duration = Duration::from_secs(1);

/// An anonymous message that may still come back finds its dispatch for so many times LEASE.
const ANONYMOUS_PATIENCE: u32 = 4;

/// What one worker remembers of the leases it has looked at.
pub(super) struct Sweeper {
    watched: HashMap<DispatchId, Watched>,
}

struct Watched {
    token: Option<String>,
    beat: i64,
    since: Instant,
}

impl Sweeper {
    pub(super) fn new() -> Self {
        Self {
            watched: HashMap::new(),
        }
    }

    /// Time until the next round.
    pub(super) fn pause(engine: &Engine) -> Duration {
        ROUND.min(engine.leases.period() / 3)
    }

    /// One round: claims up to `room` dispatches. What one database answer refuses, the next round asks.
    pub(super) async fn round(
        &mut self,
        engine: &Engine,
        room: usize,
    ) -> Result<Vec<(Claim, Instant)>, DbError> {
        let mut claims = Vec::new();
        let orphans = self.orphans(engine, room).await?;
        for seen in orphans {
            let (began, who) = (Instant::now(), engine.claimant(false));
            let claimed = engine
                .db
                .write(move |conn| repository::take_over(conn, &seen, &who))
                .await;
            keep(&mut claims, claimed, began);
        }
        let longest = engine.longest_wait();
        for dispatch in due(engine, room.saturating_sub(claims.len())).await {
            let (began, who) = (Instant::now(), engine.claimant(false));
            let taken = engine
                .db
                .write(move |conn| repository::take_up_waiting(conn, dispatch, longest, &who))
                .await;
            keep(&mut claims, taken, began);
        }
        Ok(claims)
    }

    /// Running dispatches whose holder is dead, silent or gone, for long enough.
    async fn orphans(&mut self, engine: &Engine, room: usize) -> Result<Vec<Seen>, DbError> {
        let running = engine.db.read(repository::running).await?;
        let now = Instant::now();
        let mut watched = HashMap::new();
        let mut orphans = Vec::new();
        for Unattended { seen, anonymous } in running {
            if engine.leases.own(seen.dispatch).is_some() {
                continue;
            }
            let before = self.watched.remove(&seen.dispatch);
            let same = before.filter(|w| w.token == seen.token && w.beat == seen.beat);
            let since = same.map_or(now, |w| w.since);
            let patience = patience(engine.leases.period(), &seen, anonymous);
            if now.duration_since(since) >= patience && orphans.len() < room {
                tracing::info!(dispatch.id = %seen.dispatch, "taking up a dispatch that nobody works on");
                orphans.push(seen);
            } else {
                let (token, beat) = (seen.token, seen.beat);
                watched.insert(seen.dispatch, Watched { token, beat, since });
            }
        }
        self.watched = watched;
        Ok(orphans)
    }
}

/// Up to `room` waiting dispatches whose time has come and that can go on.
async fn due(engine: &Engine, room: usize) -> Vec<DispatchId> {
    let now = (engine.now)().naive_utc();
    let longest = engine.longest_wait();
    let shut = engine.shut();
    let senders = shut
        .iter()
        .filter(|(sender, channels)| engine.is_shut(sender, channels));
    let without: Vec<String> = senders.map(|(sender, _)| sender.clone()).collect();
    let due = engine
        .db
        .read(move |conn| {
            let mut passing = Vec::new();
            for due in repository::due(conn, now, longest, &without)? {
                if passing.len() >= room {
                    break;
                }
                let passes = match shut.get(&due.sender) {
                    None => true,
                    Some(shut) => {
                        let ways = repository::ways(conn, due.dispatch)?;
                        ways.is_empty() || ways.iter().any(|way| !shut.contains(way))
                    }
                };
                if passes {
                    passing.push(due.dispatch);
                }
            }
            Ok(passing)
        })
        .await;
    due.unwrap_or_else(|error| {
        tracing::warn!(%error, "the sweeper cannot read what is due");
        Vec::new()
    })
}

/// A claim that one answer refuses costs the others nothing.
fn keep(claims: &mut Vec<(Claim, Instant)>, answer: Result<Option<Claim>, DbError>, began: Instant) {
    match answer {
        Ok(claim) => claims.extend(claim.map(|claim| (claim, began))),
        Err(error) => tracing::warn!(%error, "the sweeper cannot take a dispatch up"),
    }
}

/// How long a lease has to look the same before it is taken. Where the holder is gone for certain, its
/// message mostly comes back at once and takes the dispatch up itself: that is waited for.
fn patience(lease: Duration, seen: &Seen, anonymous: bool) -> Duration {
    let gone = seen.token.is_none() || seen.holder.as_deref().is_some_and(repository::is_dead);
    match (anonymous, gone) {
        (true, true) => lease * ANONYMOUS_PATIENCE,
        (true, false) => lease * (ANONYMOUS_PATIENCE + 1),
        (false, true) => lease / 3,
        (false, false) => lease,
    }
}

impl Processor {
    /// Takes up what nobody works on, until told to stop.
    pub async fn sweep(self: Arc<Self>) {
        let mut sweeper = Sweeper::new();
        let mut swept = JoinSet::new();
        let pause = Sweeper::pause(&self.engine);
        while self
            .stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_some()
        {
            while swept.try_join_next().is_some() {}
            match sweeper.round(&self.engine, SWEPT - swept.len()).await {
                Ok(claims) => {
                    for (claim, began) in claims {
                        let processor = Arc::clone(&self);
                        swept.spawn(async move { processor.work_off_swept(claim, began).await });
                    }
                }
                Err(error) => tracing::warn!(%error, "the sweeper cannot read the ledger"),
            }
            self.forget().await;
            self.engine.lanes.retire();
            self.look_at_files().await;
        }
        while swept.join_next().await.is_some() {}
    }

    /// One step of removing what is older than RETENTION.
    async fn forget(&self) {
        let kept = chrono::Duration::from_std(self.engine.config.retention).ok();
        let now = (self.engine.now)().naive_utc();
        let Some(before) = kept.and_then(|kept| now.checked_sub_signed(kept)) else {
            return;
        };
        let gone = self
            .engine
            .db
            .write(move |conn| repository::forget(conn, before))
            .await;
        if let Err(error) = gone {
            tracing::warn!(%error, "old dispatches cannot be removed");
        }
    }

    /// Takes note of configuration that was changed.
    async fn look_at_files(&self) {
        let engine = Arc::clone(&self.engine);
        let now = std::time::SystemTime::from((engine.now)());
        let looked = tokio::task::spawn_blocking(move || {
            for turn in engine.tenants.refresh(now) {
                tell_turn(&engine.live, turn);
            }
            engine.templates.refresh();
        });
        if looked.await.is_err() {
            tracing::error!("looking at configuration files failed unexpectedly");
        }
    }

    async fn work_off_swept(&self, claim: Claim, began: Instant) {
        let dispatch = claim.dispatch;
        if let Err(why) = self.work_off(claim, None, began).await {
            tracing::error!(dispatch.id = %dispatch, error = why, "this dispatch cannot be worked off here");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DispatchStatus;

    #[test]
    fn who_is_waited_for_how_long() {
        let lease = Duration::from_secs(15);
        let seen = |token: Option<&str>, holder: Option<String>| Seen {
            dispatch: DispatchId::generate(),
            status: DispatchStatus::Running,
            token: token.map(str::to_owned),
            beat: 1,
            holder,
            has_delivery: false,
        };
        let living = seen(Some("t"), Some(repository::this_process()));
        let released = seen(None, None);
        assert_eq!(patience(lease, &living, false), lease);
        assert_eq!(patience(lease, &living, true), lease * 5);
        assert_eq!(patience(lease, &released, false), lease / 3);
        assert_eq!(patience(lease, &released, true), lease * 4);
    }
}
