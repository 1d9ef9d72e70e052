//! Stores full pages beside everything else. A storage that is slow or away holds nobody up: what it does not
//! take is dropped, and made anew when the bundle is finalised.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::sheaf::Sheaf;
use super::{MBOX_GZIP, page_name, url};
use crate::domain::DispatchId;
use crate::failpoint;
use crate::repository::{self, Database};
use crate::storage::{BundleRef, Recipe, Storage, StorageError, Store};

/// Pages that are stored at once.
const AT_ONCE: usize = 4;

/// What may wait to be stored, in bytes.
const WAITING: usize = 32 * 1024 * 1024;

/// Pauses between tries.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// A page as it is stored.
pub(super) struct Sealed {
    pub(super) sheaf: Arc<Sheaf>,
    pub(super) number: u64,
    pub(super) bytes: Bytes,
    pub(super) emails: u64,
}

/// What is asked about a page that comes late.
#[derive(Clone)]
pub struct Late {
    /// What is stored.
    pub store: Store,
    /// The ledger.
    pub db: Database,
    /// The clock.
    pub now: fn() -> DateTime<Utc>,
}

/// Where pages go.
pub struct Sealing {
    storage: Arc<dyn Storage>,
    /// For pages that come when their bundle is whole already.
    late: Late,
    runtime: Handle,
    room: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Sealing {
    /// To `storage`, which is a way into the store of `late`, by tasks of `runtime`.
    pub fn new(storage: Arc<dyn Storage>, late: Late, runtime: Handle) -> Self {
        Self {
            storage,
            late,
            runtime,
            room: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::default(),
        }
    }

    pub(super) fn store(&self, sealed: Sealed) {
        let size = sealed.bytes.len();
        if self.waiting.fetch_add(size, Ordering::Relaxed) + size > WAITING {
            self.waiting.fetch_sub(size, Ordering::Relaxed);
            tracing::warn!(dispatch.id = %sealed.sheaf.dispatch, "the storage is too slow: a page of e-mails is stored later");
            sealed.sheaf.lost();
            return sealed.sheaf.end();
        }
        let (storage, room) = (Arc::clone(&self.storage), Arc::clone(&self.room));
        let (waiting, late) = (Arc::clone(&self.waiting), self.late.clone());
        self.runtime.spawn(async move {
            let permit = room.acquire().await;
            failpoint::reached("page-before");
            match tries(&*storage, &sealed).await {
                Ok(()) => {
                    sealed.sheaf.stored(sealed.emails);
                    if sealed.sheaf.is_left() {
                        list_again(&late, sealed.sheaf.dispatch).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(dispatch.id = %sealed.sheaf.dispatch, %error, "a page of e-mails is stored later");
                    sealed.sheaf.lost();
                }
            }
            drop(permit);
            waiting.fetch_sub(sealed.bytes.len(), Ordering::Relaxed);
            sealed.sheaf.end();
        });
    }
}

/// Another worker may have finalised the bundle before this page was in it: then it is finalised once more.
async fn list_again(late: &Late, dispatch: DispatchId) {
    if !matches!(late.store.manifest(&dispatch.into()).await, Ok(Some(_))) {
        return;
    }
    let now = (late.now)().naive_utc();
    let again = late
        .db
        .write(move |conn| repository::bundle_again(conn, dispatch, now));
    if let Err(error) = again.await {
        tracing::warn!(dispatch.id = %dispatch, %error, "a page of e-mails is in no list yet");
    }
}

async fn tries(storage: &dyn Storage, sealed: &Sealed) -> Result<(), StorageError> {
    let mut pauses = PAUSES.iter();
    loop {
        match add(storage, sealed).await {
            Err(error) if error.passes() => match pauses.next() {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Err(error),
            },
            done => return done,
        }
    }
}

async fn add(storage: &dyn Storage, sealed: &Sealed) -> Result<(), StorageError> {
    let dispatch = sealed.sheaf.dispatch;
    let start = || {
        let bundle = BundleRef {
            bid: dispatch.into(),
            primary_url: url(dispatch, ""),
        };
        let recipe = Recipe {
            id: "herald.emails".to_owned(),
        };
        async move { storage.start_bundle(&bundle, &recipe).await }
    };
    let context = sealed.sheaf.bundle.get_or_try_init(start).await?;
    let bytes = sealed.bytes.clone();
    let body = stream::once(async move { Ok(bytes) }).boxed();
    let name = page_name(sealed.sheaf.start, sealed.number);
    context
        .add_resource(&url(dispatch, &name), MBOX_GZIP, 200, body)
        .await?;
    Ok(())
}
