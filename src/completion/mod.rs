//! What follows the end of a dispatch: its bundle is finalised, hooks run, and others are told.
//!
//! Guarantee: the transaction that closes a dispatch writes a row of the outbox, and that row goes only when all
//! of it is done, in this order: bundle finalised, hooks, notices. A process that ends in between leaves the row
//! to the next one, which begins anew. So every notice goes out at least once; receivers tell copies by
//! `bundle_id`. The ack of the message waits for none of it.
//!
//! A hook of one's own sees each notice before it goes out:
//!
//! ```
//! use herald::completion::{CompletionHook, HookError, Notice};
//!
//! /// Adds a line to a catalogue.
//! struct Catalogue(std::path::PathBuf);
//!
//! #[async_trait::async_trait]
//! impl CompletionHook for Catalogue {
//!     fn name(&self) -> &str {
//!         "catalogue"
//!     }
//!
//!     // Idempotent: after a crash the same notice comes again.
//!     async fn completed(&self, notice: &Notice) -> Result<(), HookError> {
//!         let file = self.0.join(notice.bundle_id.to_string());
//!         let text = format!("{} {}\n", notice.recipe_id, notice.primary_url);
//!         std::fs::write(file, text).map_err(|e| HookError::new(&e))
//!     }
//! }
//! ```
//!
//! A [`Relay`] takes the hooks with its [`Setup`]. A notice is the JSON that receivers get:
//!
//! ```
//! use herald::completion::{Bundled, Metadata, Notice};
//!
//! let notice = Notice {
//!     bundle_id: "01a1f9c0-7f67-7407-ad66-199d574d064c".parse()?,
//!     recipe_id: "event.updated".into(),
//!     primary_url: "herald://events/123".into(),
//!     resources_count: 3,
//!     storage_key: None,
//!     completion_timestamp: "2026-01-15T10:30:00Z".into(),
//!     metadata: Metadata {
//!         source: "amqp".into(),
//!         run_id: "01a1f9c0-7f67-7407-ad66-199d574d064c".into(),
//!         resources_count: 3,
//!         status: "completed".into(),
//!         sent: 250,
//!         failed: 0,
//!         bundle: None,
//!     },
//! };
//! assert!(notice.to_json()?.starts_with(r#"{"bundle_id":"01a1f9c0-"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backoff;
mod hook;
mod notice;
mod relay;
mod sqs;
mod target;
mod task;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::domain::DispatchId;

pub use hook::{CompletionHook, HOOK_LIMIT, HookError};
pub use notice::{Metadata, Notice, NoticeError};
pub use relay::{Relay, Setup};
pub use target::{Target, TargetError, Targets};

/// What became of a bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundled {
    /// Resources in it.
    pub resources_count: u64,
    /// Where they are; none where nothing is stored.
    pub storage_key: Option<String>,
}

/// Why a bundle is not finalised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfinished {
    /// It may be later: everything waits for it.
    #[error("the bundle cannot be finalised yet: {0}")]
    NotYet(String),
    /// It never will be: the notice says so.
    #[error("the bundle stays incomplete: {0}")]
    Never(String),
}

/// Finalises the bundle of a dispatch that was closed. It may be asked again for one that is finalised already.
pub type Finalise = Arc<dyn Fn(DispatchId) -> BoxFuture<'static, Result<Bundled, Unfinished>> + Send + Sync>;

/// Where nothing is stored.
pub fn nothing_stored() -> Finalise {
    Arc::new(|_| Box::pin(std::future::ready(Ok(Bundled::default()))))
}
