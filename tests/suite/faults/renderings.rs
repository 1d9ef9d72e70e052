//! What panics or ends the process while it is rendered fails alone: real panics and real aborts, at named
//! failpoints, which only builds with the feature `failpoints` have.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use lapin::types::{AMQPValue, FieldTable};
use rstest::rstest;

use super::scene::*;
use crate::support::database::Kind;
use crate::support::mailed::surplus;
use crate::support::rabbit::header;
use crate::support::worker::{Settings, Worker};

const NEIGHBOURS: usize = 60;

/// Enough for every case here.
const STARTS: usize = 12;

/// Two events, the first of which has one recipient who is deadly.
async fn stage(kind: Kind) -> Scene {
    let scene = Scene::new(kind).await;
    scene.db.add_people(7, 40);
    scene.db.add(7, &[("deadly@example.com", "D")]);
    scene.db.add_numbered(8, "neighbour", NEIGHBOURS);
    let queue = &scene.rabbit.broker.queue;
    scene.rabbit.declare(queue, true, FieldTable::default()).await;
    scene.publish(7).await;
    scene.publish(8).await;
    scene
}

fn status(scene: &Scene, event: i64) -> Option<String> {
    let all = scene.db.dispatches();
    let found = all.into_iter().find(|d| d.event_id == Some(event))?;
    found.closed_at.map(|_| found.status)
}

/// The worker that came to the end.
struct Last {
    worker: Worker,
    /// How many ended before it.
    ended: usize,
    /// From its start on.
    time: Duration,
}

/// Starts a worker again whenever it ended, until both events are closed and acked.
async fn keep_running(settings: &Settings, scene: &Scene) -> Last {
    for ended in 0..STARTS {
        let (mut worker, begun) = (settings.spawn(), Instant::now());
        while !worker.has_ended() {
            assert!(begun.elapsed() < LIMIT, "neither done nor ended");
            if status(scene, 7).is_some() && status(scene, 8).is_some() {
                scene.all_acked().await;
                worker.wait_healthy().await;
                let time = begun.elapsed();
                return Last { worker, ended, time };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    panic!("still not done after {STARTS} starts");
}

/// Everybody but the deadly one was told; how often once too many.
async fn judge(scene: &Scene, reason: &str) -> usize {
    let row = scene.db.row("deadly@example.com");
    assert_eq!((row.status.as_str(), row.reason()), ("failed", reason));
    let told = i64::try_from(40 + NEIGHBOURS).expect("few");
    assert_eq!((scene.db.count("sent"), scene.db.count("failed")), (told, 1));
    assert_eq!(status(scene, 7).as_deref(), Some("partial"));
    assert_eq!(status(scene, 8).as_deref(), Some("completed"));
    let dead = scene.rabbit.ready(&scene.rabbit.dead()).await;
    assert_eq!(dead, Some(0), "somebody was counted as poison");
    scene.watch.assert_right();
    surplus(&scene.smtp, 40 + NEIGHBOURS)
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipient_that_panics_is_one_failed_row(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let mut tally = Tally::new("crash: a rendering panics", kind, 0);
    for (cost, recovery) in play((0..runs(1).min(5)).map(|_| panics(kind))).await {
        tally.add(cost, recovery);
    }
    tally.tell();
}

async fn panics(kind: Kind) -> (Cost, Duration) {
    let scene = stage(kind).await;
    let armed = "compose-panics=return(deadly@example.com)";
    let settings = scene.settings.clone().set("FAILPOINTS", armed);
    let mut last = keep_running(&settings, &scene).await;
    assert_eq!(last.ended, 0, "the worker lives");
    let copies = judge(&scene, "composing this e-mail failed unexpectedly").await;
    let memory = last.worker.peak_memory();
    assert_eq!(last.worker.log().matches("told to by a failpoint").count(), 1);
    last.worker.sigterm();
    assert_eq!(last.worker.wait_exit(LIMIT).await.code(), Some(0));
    scene.rabbit.clean().await;
    (Cost { copies, memory }, last.time)
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipient_that_ends_the_process_fails_alone(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let mut tally = Tally::new("crash: a rendering ends the process", kind, STARTS * IN_FLIGHT);
    for (cost, recovery) in play((0..runs(1).min(5)).map(|_| aborts(kind))).await {
        tally.add(cost, recovery);
    }
    tally.tell();
}

async fn aborts(kind: Kind) -> (Cost, Duration) {
    let scene = stage(kind).await;
    let armed = "compose=return(deadly@example.com)";
    let settings = scene.settings.clone().set("FAILPOINTS", armed);
    let last = keep_running(&settings, &scene).await;
    assert!(last.ended >= 3, "{} ends of the process", last.ended);
    let memory = last.worker.peak_memory();
    last.worker.stop().await;
    let copies = judge(&scene, "the worker ended twice while it handed this over").await;
    assert!(copies <= last.ended * IN_FLIGHT, "{copies} copies");
    scene.rabbit.clean().await;
    (Cost { copies, memory }, last.time)
}

/// A message over which the process ends before it has read any page, with others beside it; and then once
/// more on the way of its dead letter.
#[rstest]
#[case(Kind::Sqlite, 0)]
#[case(Kind::Postgres, 1)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_ends_the_process_is_exhausted(#[case] kind: Kind, #[case] first: usize) {
    const LAST: [&str; 4] = ["given-up", "s1-published", "s1-before", "s1-acked"];
    let mut tally = Tally::new("crash: a message ends the process", kind, STARTS * IN_FLIGHT);
    let lasts = (0..runs(1).min(12)).map(|run| LAST[(first + run) % LAST.len()]);
    for (cost, recovery) in play(lasts.map(|last| exhausts(kind, last))).await {
        tally.add(cost, recovery);
    }
    tally.tell();
}

async fn exhausts(kind: Kind, last: &str) -> (Cost, Duration) {
    let scene = stage(kind).await;
    let armed = format!("s2-begun=return(7);{last}=return");
    let settings = scene.settings.clone().set("FAILPOINTS", armed);
    for start in 1..=6 {
        let status = settings.spawn().wait_exit(LIMIT).await;
        assert_eq!(status.signal(), Some(6), "start {start}: {status}");
    }
    let Last { worker, ended, time } = keep_running(&scene.settings, &scene).await;
    assert_eq!(ended, 0);
    let letter = scene.rabbit.wait_dead().await;
    assert_eq!(header(&letter, "x-herald-reason").as_deref(), Some("exhausted"));
    let headers = letter.properties.headers().as_ref().expect("headers");
    let attempts = headers.inner().get("x-herald-attempts");
    assert_eq!(attempts, Some(&AMQPValue::LongLongInt(5)));
    assert_eq!(status(&scene, 7).as_deref(), Some("failed"));
    assert_eq!(status(&scene, 8).as_deref(), Some("completed"));
    assert_eq!(scene.db.count("sent"), 60, "{:?}", scene.db.counts());
    assert_eq!(scene.db.rows().len(), NEIGHBOURS, "no row of the poison");
    let copies = surplus(&scene.smtp, NEIGHBOURS);
    let memory = worker.peak_memory();
    worker.stop().await;
    let left = scene.rabbit.ready(&scene.rabbit.broker.queue).await;
    assert_eq!(left, Some(0));
    let more = scene.rabbit.ready(&scene.rabbit.dead()).await.expect("a queue");
    assert!(more <= u32::from(last == "s1-published"), "{more} more letters");
    scene.rabbit.clean().await;
    (Cost { copies, memory }, time)
}
