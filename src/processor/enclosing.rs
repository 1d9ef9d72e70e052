//! The files that go out with each e-mail of a dispatch: from its bundle, where an earlier start put them, or else
//! from where its message says.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::Processor;
use super::bundling::Archiving;
use super::lease::Lease;
use super::work::Ended;
use crate::archive::{keep_files, kept_files};
use crate::attachment::{FetchError, Fetched, Fetcher};
use crate::domain::DispatchId;
use crate::mailer::{Attached, Letterhead};
use crate::message::Attachment;
use crate::policy::Plan;
use crate::render::Composer;
use crate::repository::Wanted;
use crate::storage::StorageError;

/// How long a storage is waited for; the e-mails do not wait for one that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// KiB that the attachments of all dispatches in work may take.
pub(super) const ROOM: usize = 256 * 1024;

/// KiB that fetching the largest takes: as they come, as they are sent and encoded.
const LARGEST: u32 = 64 * 1024;

/// How long room is waited for before the dispatch gives way to others.
const ROOM_PATIENCE: Duration = Duration::from_secs(20);

/// Why the files of a dispatch are not there.
pub(super) enum Hindrance {
    /// They may be later.
    Later(String),
    /// They never will be; which, and why.
    ForGood(String),
    /// Something else came between.
    Ended(Ended),
}

/// What comes between a dispatch and its start.
pub(super) enum Between {
    Stop,
    Loss,
    Wish(Wanted),
}

/// The files of `dispatch`. What is fetched is kept in its bundle, where there is one.
pub(super) async fn files(
    fetcher: &Fetcher,
    archiving: Option<&Archiving>,
    dispatch: DispatchId,
    wanted: &[Attachment],
) -> Result<Vec<Attached>, FetchError> {
    let Some(archiving) = archiving else {
        return Ok(sent(fetcher.fetch(wanted).await?));
    };
    let kept = match in_time(kept_files(&archiving.store, dispatch)).await {
        Ok(Some(files)) => return Ok(files),
        Ok(None) => true,
        Err(error) => {
            tracing::warn!(dispatch.id = %dispatch, %error, "attachments are fetched as if none were kept");
            false
        }
    };
    // What is refused now may be in the bundle, once that can be read again.
    let came = fetcher.fetch(wanted).await;
    let came = came.map_err(|error| if kept { error } else { error.for_now() })?;
    let ways = (&*archiving.unpacking, &*archiving.storage);
    if kept && let Err(error) = in_time(keep_files(ways, dispatch, &came)).await {
        tracing::warn!(dispatch.id = %dispatch, %error, "attachments are not kept yet");
    }
    Ok(sent(came))
}

/// The same for a bundle that is made whole: where it may have them, nothing else will do.
pub(super) async fn files_again(
    fetcher: &Fetcher,
    archiving: &Archiving,
    dispatch: DispatchId,
    wanted: &[Attachment],
) -> Result<Vec<Attached>, Hindrance> {
    match in_time(kept_files(&archiving.store, dispatch)).await {
        Ok(Some(files)) => Ok(files),
        Ok(None) => files(fetcher, Some(archiving), dispatch, wanted)
            .await
            .map_err(Hindrance::of),
        Err(error) => Err(Hindrance::Later(error.to_string())),
    }
}

impl Hindrance {
    #[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
    fn of(error: FetchError) -> Self {
        if error.passes() {
            Self::Later(error.to_string())
        } else {
            Self::ForGood(error.to_string())
        }
    }
}

fn sent(came: Vec<Fetched>) -> Vec<Attached> {
    let files = came.into_iter().map(|file| Attached {
        name: file.wanted.name,
        bytes: file.sent,
    });
    files.collect()
}

async fn in_time<T>(asked: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
    let late = || StorageError::Passing(format!("no answer within {PATIENCE:?}"));
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(late()))
}

/// What all e-mails of a dispatch have in common; `files` are encoded here, once.
pub(super) fn letterhead(
    plan: &Plan,
    composer: &Composer,
    dispatch: DispatchId,
    files: &[Attached],
) -> Result<Letterhead, String> {
    let lists = &plan.lists;
    Letterhead::to_lists(&plan.identity, composer.subject(), &lists.to, &lists.cc)
        .enclosing(&dispatch.to_string(), files)
        .map_err(|e| e.to_string())
}

impl Processor {
    /// The same for a dispatch under its lease, which others may want while files are fetched; and what its
    /// attachments take of the memory for all.
    pub(super) async fn letterhead(
        &self,
        lease: &Lease,
        plan: &Plan,
        composer: &Composer,
    ) -> Result<(Letterhead, Option<OwnedSemaphorePermit>), Hindrance> {
        if plan.attachments.is_empty() {
            let made = letterhead(plan, composer, lease.dispatch, &[]);
            return made.map(|made| (made, None)).map_err(Hindrance::ForGood);
        }
        let between = tokio::select! {
            biased;
            made = self.with_files(lease.dispatch, plan, composer) => return made,
            between = self.interruption(lease) => between,
        };
        Err(Hindrance::Ended(self.give_way(lease, between).await))
    }

    async fn with_files(
        &self,
        dispatch: DispatchId,
        plan: &Plan,
        composer: &Composer,
    ) -> Result<(Letterhead, Option<OwnedSemaphorePermit>), Hindrance> {
        let engine = &self.engine;
        let room = timeout(
            ROOM_PATIENCE,
            Arc::clone(&engine.room).acquire_many_owned(LARGEST),
        );
        let Ok(Ok(mut room)) = room.await else {
            return Err(Hindrance::Later("many others have some in work".to_owned()));
        };
        let files = files(
            &engine.fetcher,
            engine.archive.as_ref(),
            dispatch,
            &plan.attachments,
        );
        let files = files.await.map_err(Hindrance::of)?;
        let made = letterhead(plan, composer, dispatch, &files).map_err(Hindrance::ForGood)?;
        let kept = room.split(made.shared_size() / 1024 + 1);
        Ok((made, kept))
    }

    /// Ends when something comes between a dispatch and its start.
    pub(super) async fn interruption(&self, lease: &Lease) -> Between {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Between::Stop,
            () = lease.lost() => Between::Loss,
            wanted = lease.wanted() => Between::Wish(wanted),
        }
    }

    /// Sees to what came between.
    pub(super) async fn give_way(&self, lease: &Lease, between: Between) -> Ended {
        match between {
            Between::Stop => {
                self.engine.give_back(lease).await;
                Ended::Stopped
            }
            Between::Loss => {
                self.engine.leases.drop_lease(lease);
                Ended::LeaseLost
            }
            Between::Wish(wanted) => self.engine.obey(lease, wanted).await,
        }
    }
}
