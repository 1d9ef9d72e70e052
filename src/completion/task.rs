//! One row of the outbox, from its claim to its end.

use std::sync::Arc;
use std::time::Duration;

use super::relay::Relay;
use super::{Bundled, Notice, Unfinished, backoff, hook};
use crate::domain::{LeaseToken, one_line};
use crate::failpoint;
use crate::repository::{self, Completion};

/// For a bundle.
const FINALISE_LIMIT: Duration = Duration::from_mins(30);

/// Between two signs of life; the claim of who gives none for five minutes is lost.
const RENEW: Duration = Duration::from_mins(1);

/// Before the ledger is asked again for what it did not take.
const PAUSE: Duration = Duration::from_secs(1);

/// Longest reason that is kept, in characters.
const MAX_ERROR: usize = 500;

/// Why a row stays, and which targets have its notice.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: String,
    published: String,
}

impl Relay {
    /// Does all that a claimed row stands for, and lets it go or says when it is due again.
    pub(super) async fn attend(&self, row: &Completion, token: LeaseToken) -> Result<(), String> {
        failpoint::reached("completion-claimed");
        let done = tokio::select! {
            done = self.work(row) => done,
            () = self.renew(&row.key, token) => return Ok(()),
        };
        let metrics = &self.setup.metrics;
        match done {
            Ok(()) => {
                self.remove(row, token).await;
                failpoint::reached("completion-removed");
                metrics.completion(if row.notice { "noticed" } else { "finalised" });
                Ok(())
            }
            Err(failed) => {
                metrics.completion("failed");
                tracing::warn!(
                    dispatch.id = row.dispatch_id,
                    error = failed.error,
                    attempts = row.attempts + 1,
                    "a completion is not done yet; it is tried again"
                );
                self.postpone(row, token, &failed).await;
                Err(failed.error)
            }
        }
    }

    async fn work(&self, row: &Completion) -> Result<(), Failed> {
        let failed = |error: &dyn std::fmt::Display| Failed {
            error: one_line(&error.to_string(), MAX_ERROR),
            published: row.published.clone(),
        };
        let bundled = self.finalise(row).await.map_err(|e| failed(&e))?;
        failpoint::reached("completion-finalised");
        if !row.notice {
            return Ok(());
        }
        let notice = Arc::new(Notice::new(row, &bundled).map_err(|e| failed(&e))?);
        hook::run(&self.setup.hooks, &notice, self.setup.hook_limit).await;
        failpoint::reached("completion-hooked");
        self.publish(row, &notice).await?;
        failpoint::reached("completion-published");
        Ok(())
    }

    /// `Ok(Err(…))`: it never will be, and the notice says so.
    async fn finalise(&self, row: &Completion) -> Result<Result<Bundled, Unfinished>, Unfinished> {
        let dispatch = row.dispatch().map_err(|e| Unfinished::NotYet(e.to_string()))?;
        match hook::apart(FINALISE_LIMIT, (self.setup.finalise)(dispatch)).await {
            Ok(Ok(bundled)) => Ok(Ok(bundled)),
            Ok(Err(never @ Unfinished::Never(_))) => {
                tracing::error!(dispatch.id = %dispatch, error = %never, "a bundle is not complete");
                Ok(Err(never))
            }
            Ok(Err(not_yet)) => Err(not_yet),
            Err(why) => Err(Unfinished::NotYet(why)),
        }
    }

    /// To all who do not have it yet; one that fails keeps no other from it.
    async fn publish(&self, row: &Completion, notice: &Notice) -> Result<(), Failed> {
        let mut published: Vec<&str> = row.published.split(',').filter(|name| !name.is_empty()).collect();
        let mut errors = Vec::new();
        for target in self.setup.targets.iter() {
            if published.contains(&target.name()) {
                continue;
            }
            match target.publish(notice).await {
                Ok(()) => published.push(target.name()),
                Err(error) => errors.push(error.to_string()),
            }
        }
        if errors.is_empty() {
            return Ok(());
        }
        Err(Failed {
            error: one_line(&errors.join("; "), MAX_ERROR),
            published: published.join(","),
        })
    }

    /// Never ends.
    async fn renew(&self, key: &str, token: LeaseToken) {
        loop {
            tokio::time::sleep(RENEW).await;
            let (key, now) = (key.to_owned(), self.now());
            let renewed = self
                .setup
                .db
                .write(move |conn| repository::renew_completion(conn, &key, token, now));
            if let Err(error) = renewed.await {
                tracing::warn!(%error, "a claim in the outbox cannot be renewed");
            }
        }
    }

    async fn remove(&self, row: &Completion, token: LeaseToken) {
        loop {
            let row = row.clone();
            let removed = self
                .setup
                .db
                .write(move |conn| repository::completion_done(conn, &row, token));
            let Err(error) = removed.await else { return };
            tracing::warn!(%error, "a completion that is done cannot be removed yet");
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn postpone(&self, row: &Completion, token: LeaseToken, failed: &Failed) {
        let wait = backoff::wait(row.attempts);
        loop {
            let (key, now) = (row.key.clone(), self.now());
            let (error, published) = (failed.error.clone(), failed.published.clone());
            let written = self.setup.db.write(move |conn| {
                repository::completion_failed(conn, &key, token, (&error, &published), wait, now)
            });
            let Err(error) = written.await else { return };
            tracing::warn!(%error, "the outbox does not take when a completion is due again");
            tokio::time::sleep(PAUSE).await;
        }
    }
}
