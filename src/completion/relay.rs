//! Takes up what the outbox has, in every worker: what is due, each second, and at the start whatever is pending.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{CompletionHook, Finalise, Targets};
use crate::domain::{DispatchId, LeaseToken};
use crate::metrics::Metrics;
use crate::repository::{self, Completion, Database, DbError};

/// Rows in work at once.
const AT_ONCE: usize = 8;

/// Between two rounds at most.
const ROUND: Duration = Duration::from_secs(1);

/// Between two counts of what is pending.
const COUNT: Duration = Duration::from_secs(5);

/// For what is under way when it is told to stop.
const LAST: Duration = Duration::from_secs(5);

/// What a relay needs.
pub struct Setup {
    /// The ledger with its outbox.
    pub db: Database,
    /// Who is told.
    pub targets: Targets,
    /// Finalises bundles.
    pub finalise: Finalise,
    /// What runs before each notice, in this order.
    pub hooks: Vec<Arc<dyn CompletionHook>>,
    /// What each of them may take.
    pub hook_limit: Duration,
    /// Where it is counted.
    pub metrics: Metrics,
    /// The wall clock.
    pub now: fn() -> DateTime<Utc>,
}

/// Works the outbox off.
pub struct Relay {
    pub(super) setup: Setup,
    holder: String,
    /// What this relay is at, to be given back at its end.
    claims: Mutex<Vec<LeaseToken>>,
}

impl Relay {
    /// Nothing is done yet.
    pub fn new(setup: Setup) -> Arc<Self> {
        Arc::new(Self {
            setup,
            holder: repository::this_process(),
            claims: Mutex::default(),
        })
    }

    /// Works until told to stop; then one more round is begun, and what is not done soon is left to the next relay.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let counting = tokio::spawn(Arc::clone(&self).count());
        let mut tasks = JoinSet::new();
        while !stop.is_cancelled() {
            self.round(&mut tasks).await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(ROUND) => {}
                Some(ended) = tasks.join_next() => if ended.is_err() {
                    tracing::error!("the work on a completion ended unexpectedly; it is taken up again in some minutes");
                },
            }
        }
        let last = async {
            self.round(&mut tasks).await;
            while tasks.join_next().await.is_some() {}
        };
        let _ = tokio::time::timeout(LAST, last).await;
        tasks.shutdown().await;
        counting.abort();
        self.release().await;
        self.setup.targets.close().await;
    }

    /// Completes one dispatch that was closed, now. `Ok(false)`: there is nothing to do, or somebody else is at it.
    pub async fn complete(&self, dispatch: DispatchId) -> Result<bool, String> {
        let now = self.now();
        let found = self
            .setup
            .db
            .read(move |conn| repository::completion_of(conn, dispatch, now, repository::is_dead));
        let Some(row) = found.await.map_err(|e| e.to_string())? else {
            return Ok(false);
        };
        let Some(token) = self.claim(&row).await.map_err(|e| e.to_string())? else {
            return Ok(false);
        };
        let done = self.attend(&row, token).await;
        self.setup.targets.close().await;
        done.map(|()| true)
    }

    pub(super) fn now(&self) -> NaiveDateTime {
        (self.setup.now)().naive_utc()
    }

    /// Claims what is due, as far as there is room.
    async fn round(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        let room = AT_ONCE.saturating_sub(tasks.len());
        let due = if room == 0 {
            return;
        } else {
            self.due(room).await
        };
        let due = due.unwrap_or_else(|error| {
            tracing::warn!(%error, "the outbox cannot be read");
            Vec::new()
        });
        for row in due {
            match self.claim(&row).await {
                Ok(Some(token)) => {
                    let relay = Arc::clone(self);
                    tasks.spawn(async move {
                        // It has said itself what failed.
                        let _ = relay.attend(&row, token).await;
                        lock(&relay.claims).retain(|claim| *claim != token);
                    });
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "a completion cannot be taken up"),
            }
        }
    }

    async fn due(&self, limit: usize) -> Result<Vec<Completion>, DbError> {
        let now = self.now();
        self.setup
            .db
            .read(move |conn| repository::completions_due(conn, now, limit, repository::is_dead))
            .await
    }

    async fn claim(&self, row: &Completion) -> Result<Option<LeaseToken>, DbError> {
        let (token, now) = (LeaseToken::generate(), self.now());
        lock(&self.claims).push(token);
        let (seen, holder) = (row.clone(), self.holder.clone());
        let claimed = self
            .setup
            .db
            .write(move |conn| repository::claim_completion(conn, &seen, token, &holder, now))
            .await?;
        if !claimed {
            lock(&self.claims).retain(|claim| *claim != token);
        }
        Ok(claimed.then_some(token))
    }

    /// Without it others would wait until the claims lapse.
    async fn release(&self) {
        let tokens = std::mem::take(&mut *lock(&self.claims));
        if tokens.is_empty() {
            return;
        }
        let released = self
            .setup
            .db
            .write(move |conn| repository::completion_released(conn, &tokens));
        if let Err(error) = released.await {
            tracing::warn!(%error, "claims in the outbox cannot be given back");
        }
    }

    /// Never ends.
    async fn count(self: Arc<Self>) {
        loop {
            match self.setup.db.read(repository::completions_pending).await {
                Ok(pending) => self.setup.metrics.completions_pending(pending),
                Err(error) => tracing::debug!(%error, "the outbox cannot be counted"),
            }
            tokio::time::sleep(COUNT).await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
