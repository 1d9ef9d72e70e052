//! Real servers for the integration tests, and the real program.

#![expect(unreachable_pub, reason = "what the tests share is public to them")]

pub mod aws;
pub mod browser;
pub mod certs;
pub mod clock;
pub mod command;
pub mod configs;
pub mod database;
pub mod files;
pub mod link;
pub mod mail;
pub mod mailed;
pub mod node;
pub mod notices;
pub mod outage;
pub mod postgres;
pub mod proxy;
pub mod rabbit;
pub mod relay;
pub mod relays;
pub mod s3;
pub mod slack;
pub mod smtp;
pub mod socket;
pub mod stage;
pub mod trouble;
pub mod watch;
pub mod worker;

use std::time::{Duration, Instant};

/// What `probe` gives as soon as it gives something; panics after `limit`.
pub async fn until<T>(what: &str, limit: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = probe().await {
            return seen;
        }
        assert!(begun.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
