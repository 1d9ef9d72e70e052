//! The two-stage stop. The first signal asks the worker to finish what is in flight and to take nothing
//! new; the second ends it at once. Once given, neither is ever taken back.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Shared by everything that has to know of a stop; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    stopping: CancellationToken,
    now: CancellationToken,
}

impl Shutdown {
    /// No stop yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more reason to stop: the first begins [`stopping`](Self::stopping), the second
    /// [`now`](Self::now).
    pub fn request(&self) {
        if self.stopping.is_cancelled() {
            self.now.cancel();
        }
        self.stopping.cancel();
    }

    /// Cancelled from the first request on: take nothing new, finish what is in flight.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Cancelled from the second request on: leave everything as it is.
    pub fn now(&self) -> &CancellationToken {
        &self.now
    }

    /// Makes SIGINT and SIGTERM requests, from this call on, for as long as the runtime lives.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn listen(&self) -> io::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = interrupt.recv() => "SIGINT",
                    _ = terminate.recv() => "SIGTERM",
                };
                if shutdown.stopping.is_cancelled() {
                    tracing::warn!(signal = name, "second signal: stopping at once");
                } else {
                    tracing::info!(signal = name, "stopping: work in flight may finish");
                }
                shutdown.request();
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn two_stages() {
        let shutdown = Shutdown::new();
        let seen = shutdown.clone();
        assert!(!seen.stopping().is_cancelled() && !seen.now().is_cancelled());
        shutdown.request();
        assert!(seen.stopping().is_cancelled() && !seen.now().is_cancelled());
        shutdown.request();
        assert!(seen.now().is_cancelled());
    }

    #[tokio::test]
    async fn signals_are_requests() {
        let shutdown = Shutdown::new();
        shutdown.listen().unwrap();
        let kill = |name: &str| {
            let pid = std::process::id().to_string();
            assert!(
                Command::new("kill")
                    .args([name, &pid])
                    .status()
                    .unwrap()
                    .success()
            );
        };
        kill("-TERM");
        shutdown.stopping().cancelled().await;
        assert!(!shutdown.now().is_cancelled());
        kill("-INT");
        shutdown.now().cancelled().await;
    }
}
