//! What operators want of dispatches that run here, looked up twice a second: a pause or a cancel is effective
//! within two, whichever worker was asked.

use std::sync::Arc;
use std::time::Duration;

use super::Processor;
use crate::repository;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

impl Processor {
    /// Tells the dispatches in work here what is wanted of them, and shows the lanes, until told to stop.
    pub async fn steer(self: Arc<Self>) {
        while self
            .stop
            .run_until_cancelled(tokio::time::sleep(PAUSE))
            .await
            .is_some()
        {
            let views = self.engine.lanes.view((self.engine.now)());
            self.engine.relays.send_if_modified(|old| {
                let changed = *old != views;
                *old = views;
                changed
            });
            if self.engine.leases.is_idle() {
                continue;
            }
            match self.engine.db.read(repository::wanted).await {
                Ok(wanted) => self.engine.leases.steer(&wanted),
                Err(error) => tracing::debug!(%error, "cannot look at what is wanted"),
            }
        }
    }
}
