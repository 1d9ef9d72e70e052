//! Memory does not grow with the event.

use super::scene::*;
use crate::support::database::Kind;
use crate::support::smtp::{Options, SmtpServer};

/// Peak memory of a worker that tells so many, in MB.
async fn telling(many: usize, tally: &mut Tally) -> u64 {
    let scene = Scene::with(Kind::Sqlite, SmtpServer::start(Options::default()).await).await;
    scene.db.add_people(7, many);
    let worker = scene.settings.start().await;
    scene.publish(7).await;
    let recovery = scene.completed(1).await;
    scene.rabbit.wait_counts(0, 0).await;
    let cost = scene.end(vec![worker], many).await;
    tally.add(cost, recovery);
    cost.memory
}

#[tokio::test]
async fn flat_however_large_the_event() {
    let mut tally = Tally::new("memory: no fault, an event ten times as large", Kind::Sqlite, 0);
    let few = if full() { 2_000 } else { 300 };
    let small = telling(few, &mut tally).await;
    let large = telling(10 * few, &mut tally).await;
    assert!(
        large <= small + 8,
        "{small} MB for {few}, {large} MB for ten times as many"
    );
    tally.tell();
}
