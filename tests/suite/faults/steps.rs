//! The worker ends at each step of the protocol, right before and right after its durable write: named
//! failpoints, which only builds with the feature `failpoints` have.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use lapin::types::FieldTable;
use rstest::rstest;

use super::scene::*;
use crate::support::database::Kind;
use crate::support::mailed::slow_relay;

/// Each point, and at which passages the worker ends there. Three events of three pages each go through,
/// and two messages that say nothing.
const POINTS: &[(&str, &[usize])] = &[
    ("s1-before", &[1, 2]),
    ("s1-published", &[1, 2]),
    ("s1-acked", &[1, 2]),
    ("s2-before", &[1, 2, 3]),
    ("s2-after", &[1, 2, 3]),
    ("s2-begun", &[1, 2, 3]),
    ("s3-before", &[1, 4, 8]),
    ("s3-before-commit", &[1, 4, 8]),
    ("s3-after-commit", &[1, 4, 8]),
    ("s4-before-dot", &[1, 40, 100]),
    ("s4-after-reply", &[1, 40, 100]),
    ("s5-before-commit", &[1, 2, 4]),
    ("s5-after-commit", &[1, 2, 4]),
    ("s6-before", &[1, 2, 3]),
    ("s6-closed", &[1, 2, 3]),
    ("s6-acked", &[1, 2, 3]),
];

const EVENTS: usize = 3;
const AUDIENCE: usize = 40;

/// The short form ends the worker once at each point, on one of the two databases.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_at_each_step(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let mut tally = Tally::new("crash: at each step S1 to S6", kind, IN_FLIGHT);
    let mut strikes = Vec::new();
    for (n, &(point, passages)) in POINTS.iter().enumerate() {
        if runs(1) > 1 {
            strikes.extend(passages.iter().map(|&passage| (point, passage)));
        } else if (n % 2 == 0) == (kind == Kind::Sqlite) {
            strikes.push((point, passages[n % passages.len()]));
        }
    }
    let scenes = strikes
        .into_iter()
        .map(|(point, passage)| ended(kind, point, passage));
    for (cost, recovery) in play(scenes).await {
        tally.add(cost, recovery);
    }
    tally.tell();
}

async fn ended(kind: Kind, point: &str, passage: usize) -> (Cost, Duration) {
    let scene = Scene::with(kind, slow_relay(Duration::from_millis(10)).await).await;
    for (event, prefix) in [(7, "a"), (8, "b"), (9, "c")] {
        scene.db.add_numbered(event, prefix, AUDIENCE);
    }
    let queue = &scene.rabbit.broker.queue;
    scene.rabbit.declare(queue, true, FieldTable::default()).await;
    scene.publish_invalid().await;
    for event in 7..=9 {
        scene.publish(event).await;
    }
    scene.publish_invalid().await;
    let settings = scene.settings.clone().set("BATCH_SIZE", 15);
    let armed = match passage {
        1 => format!("{point}=return"),
        _ => format!("{point}={}*off->return", passage - 1),
    };
    let status = settings
        .clone()
        .set("FAILPOINTS", armed)
        .spawn()
        .wait_exit(LIMIT)
        .await;
    assert_eq!(status.signal(), Some(6), "{point}, passage {passage}: {status}");
    let worker = settings.start().await;
    let recovery = scene.completed(EVENTS).await;
    in_time(recovery);
    (scene.end(vec![worker], EVENTS * AUDIENCE).await, recovery)
}
