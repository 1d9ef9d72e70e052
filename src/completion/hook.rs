//! What runs between the finalised bundle and the notice.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;

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

/// `work` on a task of its own, which may panic, and is cut off after `limit` or when nobody waits for it any more.
pub(super) async fn apart<T: Send + 'static>(
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, String> {
    let mut task = JoinSet::new();
    task.spawn(work);
    match tokio::time::timeout(limit, task.join_next()).await {
        Ok(Some(Ok(done))) => Ok(done),
        Ok(_) => Err("it panicked".to_owned()),
        Err(_) => Err(format!("not done within {} s", limit.as_secs_f64())),
    }
}

/// Runs all, in order. What one of them does stops no other.
pub(super) async fn run(hooks: &[Arc<dyn CompletionHook>], notice: &Arc<Notice>, limit: Duration) {
    for hook in hooks {
        let (own, given) = (Arc::clone(hook), Arc::clone(notice));
        let why = match apart(limit, async move { own.completed(&given).await }).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(why) => why,
        };
        tracing::error!(dispatch.id = %notice.bundle_id, hook = hook.name(), error = why, "a completion hook failed");
    }
}
