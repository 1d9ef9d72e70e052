//! The files that go out with each e-mail of a dispatch: from its bundle, where an earlier start put them, or else
//! from where its message says.

use std::time::Duration;

use tokio::time::timeout;

use super::Processor;
use super::bundling::Archiving;
use super::lease::Lease;
use super::work::Ended;
use crate::archive::{keep_files, kept_files};
use crate::attachment::{FetchError, Fetcher};
use crate::domain::DispatchId;
use crate::mailer::{Attached, Letterhead};
use crate::message::Attachment;
use crate::policy::Plan;
use crate::render::Composer;
use crate::repository::Wanted;
use crate::storage::StorageError;

/// How long a storage is waited for; the e-mails do not wait for one that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

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
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(archiving) = archiving {
        match in_time(kept_files(&archiving.store, dispatch)).await {
            Ok(Some(files)) => return Ok(files),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(dispatch.id = %dispatch, %error, "attachments are fetched as if none were kept");
            }
        }
    }
    let came = fetcher.fetch(wanted).await?;
    if let Some(archiving) = archiving {
        let ways = (&*archiving.unpacking, &*archiving.storage);
        if let Err(error) = in_time(keep_files(ways, dispatch, &came)).await {
            tracing::warn!(dispatch.id = %dispatch, %error, "attachments are not kept yet");
        }
    }
    let files = came.into_iter().map(|file| Attached {
        name: file.wanted.name,
        bytes: file.sent,
    });
    Ok(files.collect())
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
    /// The same for a dispatch under its lease, which others may want while files are fetched.
    pub(super) async fn letterhead(
        &self,
        lease: &Lease,
        plan: &Plan,
        composer: &Composer,
    ) -> Result<Letterhead, Hindrance> {
        let (engine, dispatch) = (&self.engine, lease.dispatch);
        let files = files(
            &engine.fetcher,
            engine.archive.as_ref(),
            dispatch,
            &plan.attachments,
        );
        let between = tokio::select! {
            biased;
            files = files => return match files {
                Ok(files) => letterhead(plan, composer, dispatch, &files).map_err(Hindrance::ForGood),
                Err(error) if error.passes() => Err(Hindrance::Later(error.to_string())),
                Err(error) => Err(Hindrance::ForGood(error.to_string())),
            },
            between = self.interruption(lease) => between,
        };
        Err(Hindrance::Ended(self.give_way(lease, between).await))
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
