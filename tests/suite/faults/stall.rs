//! A worker is frozen for longer than its lease, overtaken, and wakes.

use std::time::Duration;

use super::scene::*;
use crate::support::database::Kind;
use crate::support::until;

/// Only the frozen one has a delivery: the other takes the dispatch up from the ledger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_beyond_its_lease() {
    let (mut moments, mut tally) = (
        Moments(0x0b5c_31d7),
        Tally::new(
            "workers: SIGSTOP beyond the lease, then SIGCONT",
            Kind::Postgres,
            IN_FLIGHT,
        ),
    );
    let runs = (0..runs(1).min(20)).map(|_| frozen(moments.mid_run(PEOPLE)));
    for (cost, recovery) in play(runs).await {
        tally.add(cost, recovery);
    }
    tally.tell();
}

async fn frozen(moment: Moment) -> (Cost, Duration) {
    const LATER: usize = 40;
    let scene = Scene::new(Kind::Postgres).await;
    scene.db.add_people(7, PEOPLE);
    scene.db.add_numbered(8, "later", LATER);
    let sleeper = scene.settings.start().await;
    scene.publish(7).await;
    until("a dispatch", LIMIT, async || scene.db.dispatches().pop()).await;
    let other = scene.settings.start().await;
    scene.reach(moment).await;
    sleeper.signal("STOP");
    scene.struck(PEOPLE);
    let begun = std::time::Instant::now();
    until("a takeover", LIMIT, async || {
        (scene.db.dispatch().starts == 2).then_some(())
    })
    .await;
    assert!(
        begun.elapsed() >= LEASE / 2,
        "overtaken while the lease may have been trusted"
    );
    in_time(begun.elapsed());
    let recovery = begun.elapsed() + scene.completed(1).await;
    sleeper.signal("CONT");
    until("knowledge of the takeover", LIMIT, async || {
        let log = sleeper.log();
        log.contains("dispatch left to another worker").then_some(())
    })
    .await;
    // What it had in hand is in the ledger by now or never; it is alone with the next event.
    scene.all_acked().await;
    other.stop().await;
    scene.publish(8).await;
    scene.completed(2).await;
    assert!(
        sleeper.log().matches("dispatch started").count() == 2,
        "it works on"
    );
    (scene.end(vec![sleeper], PEOPLE + LATER).await, recovery)
}
