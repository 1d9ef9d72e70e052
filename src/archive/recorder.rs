//! Keeps the e-mails of this process: which start of a dispatch writes where.

use std::sync::Arc;

use super::page::Page;
use super::sealing::Sealing;
use super::sheaf::{Sheaf, Sheaves};
use crate::domain::DispatchId;

/// The way into the pages; cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    sheaves: Arc<Sheaves>,
    sealing: Arc<Sealing>,
}

impl Recorder {
    /// `sealing` stores what is full.
    pub fn new(sealing: Sealing) -> Self {
        Self {
            sheaves: Arc::default(),
            sealing: Arc::new(sealing),
        }
    }

    /// A dispatch is worked on: the start with this number.
    pub fn open(&self, dispatch: DispatchId, start: i32) -> Arc<Sheaf> {
        self.sheaves.open(dispatch, start)
    }

    /// What this process wrote of a dispatch last; told once.
    pub fn take(&self, dispatch: DispatchId) -> Option<Arc<Sheaf>> {
        self.sheaves.take(dispatch)
    }

    /// A page for e-mails that were read together.
    pub fn page(&self, sheaf: &Arc<Sheaf>) -> Arc<Page> {
        Arc::new(Page::new(sheaf, &self.sealing))
    }
}
