//! Several workers at one database and one queue.

use std::time::Duration;

use rstest::rstest;

use super::scene::*;
use crate::support::database::Kind;
use crate::support::mailed::slow_relay;
use crate::support::until;
use crate::support::worker::Worker;

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_twice_at_two_workers(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let mut tally = Tally::new("messages: one twice, two workers", kind, 0);
    let scenes = (0..runs(2).min(50)).map(|_| twice(kind));
    for (cost, recovery) in play(scenes).await {
        tally.add(cost, recovery);
    }
    tally.tell();
}

async fn twice(kind: Kind) -> (Cost, Duration) {
    const AUDIENCE: usize = 100;
    let scene = Scene::new(kind).await;
    scene.db.add_people(7, AUDIENCE);
    let (one, two) = (scene.settings.start().await, scene.settings.start().await);
    let id = uuid::Uuid::new_v4().to_string();
    tokio::join!(scene.publish_as(&id, 7), scene.publish_as(&id, 7));
    let recovery = scene.completed(1).await;
    // The second one is acked when its worker sees that the first has ended.
    scene.all_acked().await;
    assert_eq!(scene.db.dispatch().starts, 1);
    (scene.end(vec![one, two], AUDIENCE).await, recovery)
}

/// Three events over two workers, one of which is killed again and again while it works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_workers_killed_five_times() {
    const KILLS: usize = 5;
    let (runs, people) = if full() {
        (3, 5000)
    } else {
        (runs(1).min(2), 2 * PEOPLE)
    };
    let mut tally = Tally::new(
        "workers: one of two killed five times, three events",
        Kind::Postgres,
        KILLS * IN_FLIGHT,
    );
    let mut moments = Moments(0x1234_5678);
    for _ in 0..runs {
        let relay = if full() { 5 } else { 40 };
        let scene = Scene::with(Kind::Postgres, slow_relay(Duration::from_millis(relay)).await).await;
        for (event, prefix) in [(7, "a"), (8, "b"), (9, "c")] {
            scene.db.add_numbered(event, prefix, people);
        }
        // One at a time, and time enough for a worker that comes back to find its own work again.
        let settings = scene.settings.clone().set("LAVINMQ_PREFETCH", 1).set("LEASE", 15);
        let (steady, mut victim) = (settings.start().await, settings.start().await);
        for event in 7..=9 {
            scene.publish(event).await;
        }
        let mut busy = 0;
        for kill in 0..KILLS {
            let at_work = at_work(&scene, &victim, 3 * people, kill % 2 == 1).await;
            tokio::time::sleep(moments.next(if full() { 1500 } else { 150 })).await;
            victim.kill9();
            busy += usize::from(at_work && scene.smtp.messages().len() < 3 * people);
            victim = settings.start().await;
        }
        let recovery = scene.completed(3).await;
        assert!(busy >= 3, "{busy} kills hit a worker at work");
        tally.add(scene.end(vec![steady, victim], 3 * people).await, recovery);
    }
    tally.tell();
}

/// Waits until a worker works on something (and, if asked, has written down an outcome: five ends in a row
/// without any would be the message's fault); false when nothing is left for it.
async fn at_work(scene: &Scene, worker: &Worker, people: usize, fruitful: bool) -> bool {
    until("work, or none for it", LIMIT, async || {
        if scene.smtp.messages().len() >= people {
            return Some(false);
        }
        let log = worker.log();
        let started = log.lines().rfind(|line| line.contains("dispatch started"))?;
        let all = scene.db.dispatches();
        let mine = all.iter().find(|d| started.contains(&d.id))?;
        (!fruitful || mine.vain_starts == 0).then_some(true)
    })
    .await
}
