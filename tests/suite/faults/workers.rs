//! Several workers at one database and one queue.

use serde_json::json;

use super::scene::*;
use crate::support::database::Kind;

#[tokio::test]
async fn one_message_twice_at_two_workers() {
    let mut tally = Tally::new("messages: one twice, two workers", Kind::Postgres, 0);
    for run in 0..runs(2).min(10) {
        let scene = Scene::new(Kind::Postgres).await;
        scene.db.add_people(7, PEOPLE);
        let (one, two) = (scene.settings.start().await, scene.settings.start().await);
        let (id, message) = (format!("twice-{run}"), json!({"type": "UPDATED", "event_id": 7}));
        tokio::join!(
            scene.rabbit.send_as(&id, &message),
            scene.rabbit.send_as(&id, &message)
        );
        let recovery = scene.completed(1).await;
        // The second one is acked when its worker sees that the first has ended.
        scene.rabbit.wait_counts(0, 0).await;
        tally.add(scene.end(vec![one, two], PEOPLE).await, recovery);
    }
    tally.tell();
}

/// Three events over two workers, one of which is killed again and again.
#[tokio::test]
async fn one_of_two_workers_killed_five_times() {
    const KILLS: usize = 5;
    let mut tally = Tally::new(
        "workers: one of two killed five times, three events",
        Kind::Postgres,
        KILLS * IN_FLIGHT,
    );
    for run in 0..runs(1).min(10) {
        let scene = Scene::new(Kind::Postgres).await;
        for (event, prefix) in [(7, "a"), (8, "b"), (9, "c")] {
            scene.db.add_numbered(event, prefix, 2 * PEOPLE);
        }
        let steady = scene.settings.start().await;
        let mut victim = scene.settings.start().await;
        for event in 7..=9 {
            scene.publish(event).await;
        }
        let mut moments = Moments(0x1234_5678 + run as u64);
        for _ in 0..KILLS {
            tokio::time::sleep(moments.next(600)).await;
            victim.kill9();
            victim = scene.settings.start().await;
        }
        let recovery = scene.completed(3).await;
        tally.add(scene.end(vec![steady, victim], 6 * PEOPLE).await, recovery);
    }
    tally.tell();
}
