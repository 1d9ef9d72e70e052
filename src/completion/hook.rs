//! What runs between the finalised bundle and the notice.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Notice;
use crate::domain::one_line;

/// What a hook may take, where nothing else is said.
pub const HOOK_LIMIT: Duration = Duration::from_secs(30);

/// Longest reason that is repeated, in characters.
const MAX_TEXT: usize = 300;

/// Sees each notice before it goes out. It has to be idempotent: after a crash, and after a notice that could not
/// be sent, the same one comes again. Its failure is logged and stops neither the other hooks nor the notice.
#[async_trait]
pub trait CompletionHook: Send + Sync {
    /// For the log.
    fn name(&self) -> &str;

    /// A dispatch was closed, and its bundle is finalised.
    async fn completed(&self, notice: &Notice) -> Result<(), HookError>;
}

/// Why a hook did not do what it does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HookError(String);

impl HookError {
    /// Keeps what `error` says, as one line.
    pub fn new(error: &impl Display) -> Self {
        Self(one_line(&error.to_string(), MAX_TEXT))
    }
}

/// Runs all, in order; each on a task of its own, which is cut off after `limit` and may panic.
pub(super) async fn run(hooks: &[Arc<dyn CompletionHook>], notice: &Arc<Notice>, limit: Duration) {
    for hook in hooks {
        let mut task = tokio::spawn({
            let (hook, notice) = (Arc::clone(hook), Arc::clone(notice));
            async move { hook.completed(&notice).await }
        });
        let why = match tokio::time::timeout(limit, &mut task).await {
            Ok(Ok(Ok(()))) => continue,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_)) => "it panicked".to_owned(),
            Err(_) => {
                task.abort();
                format!("not done within {} s", limit.as_secs_f64())
            }
        };
        tracing::error!(dispatch.id = %notice.bundle_id, hook = hook.name(), error = why, "a completion hook failed");
    }
}
