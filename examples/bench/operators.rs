//! People who look on: clients of `/ws` that read what comes, and requests beside them.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_tungstenite::connect_async;

use crate::Fallible;

/// Clients of `/ws`.
const CLIENTS: usize = 50;

/// Between two requests.
const STEP: Duration = Duration::from_millis(50);

/// What is asked for in turn.
const PATHS: [&str; 4] = [
    "/api/v1/dispatches",
    "/api/v1/notifications?page_size=20",
    "/api/v1/throughput",
    "/metrics",
];

/// They go when this is dropped.
pub(crate) struct Operators(JoinSet<()>);

impl Operators {
    /// All are connected when this returns.
    pub(crate) async fn arrive(port: u16) -> Fallible<Self> {
        let mut tasks = JoinSet::new();
        for _ in 0..CLIENTS {
            let (mut socket, _) = connect_async(format!("ws://127.0.0.1:{port}/ws")).await?;
            tasks.spawn(async move { while let Some(Ok(_)) = socket.next().await {} });
        }
        tasks.spawn(async move {
            let client = reqwest::Client::new();
            let mut ticks = interval(STEP);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for path in PATHS.iter().cycle() {
                ticks.tick().await;
                let asked = client.get(format!("http://127.0.0.1:{port}{path}")).send().await;
                if let Ok(answer) = asked {
                    let _ = answer.bytes().await;
                }
            }
        });
        sleep(Duration::from_millis(200)).await;
        Ok(Self(tasks))
    }

    /// Whether all are still there: a client that was let go would have read too little.
    pub(crate) fn are_there(&mut self) -> bool {
        self.0.try_join_next().is_none()
    }
}
