//! Messages that say the same and have no id.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lapin::BasicProperties;
use serde_json::json;

use super::scene::*;
use crate::support::database::Kind;
use crate::support::mailed::{by_recipient, message_id, slow_relay};
use crate::support::until;

const EQUAL: usize = 20;
const AUDIENCE: usize = 20;

/// Each is a message of its own: one that is swallowed would be a loss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_messages_over_two_workers_one_killed() {
    let (mut moments, mut tally) = (
        Moments(0x6a09_e667),
        Tally::new(
            "messages: 20 equal without id, one worker killed",
            Kind::Postgres,
            EQUAL * AUDIENCE,
        ),
    );
    let scenes = (0..runs(1).min(20)).map(|_| equal(moments.mid_run(EQUAL * AUDIENCE)));
    for (cost, recovery) in play(scenes).await {
        tally.add(cost, recovery);
    }
    tally.tell();
}

async fn equal(moment: Moment) -> (Cost, Duration) {
    let scene = Scene::with(Kind::Postgres, slow_relay(Duration::from_millis(40)).await).await;
    scene.db.add_people(7, AUDIENCE);
    let settings = scene.settings.clone().set("LAVINMQ_PREFETCH", EQUAL / 2);
    let (mut victim, other) = (settings.start().await, settings.start().await);
    let body = json!({"type": "UPDATED", "event_id": 7}).to_string();
    for _ in 0..EQUAL {
        scene
            .rabbit
            .publish(body.as_bytes(), BasicProperties::default())
            .await;
    }
    scene.reach(moment).await;
    victim.kill9();
    scene.struck(EQUAL * AUDIENCE);
    let begun = Instant::now();
    until("an ack for each message", LIMIT, async || {
        let open = scene.db.dispatches().iter().any(|d| d.closed_at.is_none());
        (!open && scene.watch.acks() >= EQUAL).then_some(())
    })
    .await;
    let recovery = begun.elapsed();
    let memory = other.peak_memory();
    let log = other.log();
    other.stop().await;
    scene.watch.assert_right();
    assert_eq!(scene.rabbit.ready(&scene.rabbit.broker.queue).await, Some(0));
    assert_eq!(scene.rabbit.ready(&scene.rabbit.dead()).await, Some(0));
    let dispatches = scene.db.dispatches();
    assert!(
        dispatches.len() >= EQUAL,
        "{} dispatches: one was swallowed
{log}",
        dispatches.len()
    );
    assert!(dispatches.iter().all(|d| d.status == "completed"));
    let told = by_recipient(scene.smtp.messages());
    assert_eq!(told.len(), AUDIENCE);
    for (to, messages) in told {
        let ids: BTreeSet<_> = messages.iter().map(message_id).collect();
        assert_eq!(ids.len(), dispatches.len(), "{to}");
    }
    let copies = scene.smtp.messages().len() - EQUAL * AUDIENCE;
    scene.rabbit.clean().await;
    (Cost { copies, memory }, recovery)
}
