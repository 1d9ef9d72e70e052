//! The pages of e-mails that one start of a dispatch writes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, watch};

use crate::domain::DispatchId;
use crate::storage::BundleContext;

/// Dispatches whose pages are remembered; what others than this process finalise is read anew instead.
const REMEMBERED: usize = 10_000;

/// What one start of a dispatch has written so far.
pub struct Sheaf {
    pub(super) dispatch: DispatchId,
    pub(super) start: i32,
    /// The bundle, once something is stored.
    pub(super) bundle: OnceCell<Box<dyn BundleContext>>,
    /// Numbers of its pages.
    pub(super) number: AtomicU64,
    stored: AtomicU64,
    lost: AtomicBool,
    left: AtomicBool,
    under_way: watch::Sender<usize>,
}

impl Sheaf {
    /// The first page has the number 1.
    pub(super) fn new(dispatch: DispatchId, start: i32) -> Self {
        Self {
            dispatch,
            start,
            bundle: OnceCell::new(),
            number: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            left: AtomicBool::new(false),
            under_way: watch::Sender::new(0),
        }
    }

    pub(super) fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn begin(&self) {
        self.under_way.send_modify(|n| *n += 1);
    }

    pub(super) fn end(&self) {
        self.under_way.send_modify(|n| *n = n.saturating_sub(1));
    }

    pub(super) fn stored(&self, emails: u64) {
        self.stored.fetch_add(emails, Ordering::Relaxed);
    }

    pub(super) fn lost(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// The work on its dispatch has ended here: others may finalise the bundle.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// Waits until nothing of it is under way, for `limit` at most; then how many e-mails are stored, if
    /// none was lost on the way.
    pub async fn settled(&self, limit: Duration) -> Option<u64> {
        let mut watching = self.under_way.subscribe();
        let none = tokio::time::timeout(limit, watching.wait_for(|n| *n == 0)).await;
        let whole = matches!(none, Ok(Ok(_))) && !self.lost.load(Ordering::Relaxed);
        whole.then(|| self.stored.load(Ordering::Relaxed))
    }

    /// Which start of the dispatch it belongs to.
    pub const fn start(&self) -> i32 {
        self.start
    }
}

/// The newest start of each dispatch in this process.
#[derive(Default)]
pub(super) struct Sheaves(Mutex<HashMap<DispatchId, Arc<Sheaf>>>);

impl Sheaves {
    pub(super) fn open(&self, dispatch: DispatchId, start: i32) -> Arc<Sheaf> {
        let sheaf = Arc::new(Sheaf::new(dispatch, start));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(dispatch, Arc::clone(&sheaf));
        sheaf
    }

    pub(super) fn take(&self, dispatch: DispatchId) -> Option<Arc<Sheaf>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&dispatch)
    }
}
