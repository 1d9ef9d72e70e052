//! The broker goes away and comes back, or takes the message away.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rstest::rstest;
use tokio::sync::watch;

use super::scene::*;
use crate::support::database::Kind;
use crate::support::link::Link;
use crate::support::mailed::slow_relay;
use crate::support::node::Node;
use crate::support::rabbit::Rabbit;
use crate::support::smtp::{Action, At, Event, Options, SmtpServer};
use crate::support::worker::Worker;
use crate::support::{proxy, until};

/// A node takes long to start: the short form does so with one kind of database alone.
fn kinds(short: Kind) -> Vec<Kind> {
    if runs(1) > 1 {
        vec![Kind::Sqlite, Kind::Postgres]
    } else {
        vec![short]
    }
}

/// So many e-mails the relay takes before it waits.
const GATED: u64 = 100;

/// In turn a relay that takes no more than the first of the e-mails before it is told to, and one that has taken
/// everything by the time a node is back.
async fn relay_until(run: usize) -> (watch::Sender<bool>, SmtpServer) {
    let (open, gate) = watch::channel(run % 2 == 1);
    let taken = AtomicU64::new(0);
    let script = move |event: &Event| {
        let dot = event.at == At::Dot;
        let waits = dot && taken.fetch_add(1, Ordering::Relaxed) >= GATED && !*gate.borrow();
        let delay = Action::Delay(Duration::from_millis(40));
        dot.then(|| if waits { Action::Until(gate.clone()) } else { delay })
    };
    (open, SmtpServer::start(Options::default().script(script)).await)
}

/// In turn a relay that has taken everything before the fault ends, and one that has not.
async fn relay(run: usize, quick: u64, slow: u64) -> SmtpServer {
    let time = if run % 2 == 1 { quick } else { slow };
    slow_relay(Duration::from_millis(time)).await
}

/// Waits until at least one and fewer than `below` have been told, at a moment that differs.
async fn mid_run(scene: &Scene, moments: &mut Moments, below: u64) {
    let count = usize::try_from(moments.next(below).as_millis()).expect("few");
    scene.smtp.wait_for(count.max(1), LIMIT).await;
    let told = scene.smtp.messages().len();
    assert!((1..PEOPLE).contains(&told), "{told} told: not in mid-run");
}

/// It was adopted, not begun again.
fn assert_begun_once(scene: &Scene) {
    let starts: Vec<_> = scene.db.dispatches().iter().map(|d| d.starts).collect();
    assert!(starts.iter().all(|starts| *starts == 1), "starts: {starts:?}");
}

/// Another message, when the fault is over: it needs no other worker.
async fn one_more(scene: &Scene, worker: &Worker) {
    let url = worker.url("/health");
    // The pauses between two tries grow up to half a minute.
    until("a healthy worker", LIMIT, async || {
        let answer = reqwest::get(&url).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    scene.db.add_numbered(8, "later", 1);
    scene.publish(8).await;
}

#[rstest]
#[case::in_order("broker: restart", false, Kind::Sqlite)]
#[case::killed("broker: kill -9", true, Kind::Postgres)]
#[tokio::test]
async fn ended_and_started_again(#[case] fault: &'static str, #[case] kill: bool, #[case] short: Kind) {
    let mut node = Node::start("");
    let mut moments = Moments(0x3c6e_f372);
    for kind in kinds(short) {
        let mut tally = Tally::new(fault, kind, 0);
        for run in 0..runs(1).min(8) {
            let (open, smtp) = relay_until(run).await;
            let mut scene = Scene::at(kind, smtp, Rabbit::at(node.url()).await).await;
            scene.db.add_people(7, PEOPLE);
            let worker = scene.settings.start().await;
            scene.publish(7).await;
            mid_run(&scene, &mut moments, GATED).await;
            if kill {
                node.kill9();
            } else {
                node.stop().await;
            }
            node.start_again();
            scene.rabbit.reconnect().await;
            let back = Instant::now();
            one_more(&scene, &worker).await;
            if !*open.borrow() {
                until("the message again", LIMIT, async || {
                    (scene.watch.in_hand() > 0).then_some(())
                })
                .await;
                open.send_replace(true);
            }
            scene.settled(2).await;
            let recovery = back.elapsed();
            assert!(worker.log().contains("lost the broker"));
            assert_begun_once(&scene);
            tally.add(scene.end(vec![worker], PEOPLE + 1).await, recovery);
        }
        tally.tell();
    }
}

#[rstest]
#[tokio::test]
async fn connections_reset_every_two_seconds(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let (mut moments, mut tally) = (
        Moments(0x5be0_cd19),
        Tally::new("broker: connections reset every 2 s", kind, 0),
    );
    for _ in 0..runs(1).min(6) {
        let time = Duration::from_millis(if full() { 800 } else { 400 });
        let mut scene = Scene::with(kind, slow_relay(time).await).await;
        let link = Link::start(scene.watch.port()).await;
        scene.by_way_of(link.port(), None);
        scene.db.add_people(7, PEOPLE);
        let worker = scene.settings.start().await;
        scene.publish(7).await;
        mid_run(&scene, &mut moments, 50).await;
        let (mut broken, mut last) = (0, Instant::now());
        while scene.smtp.messages().len() < PEOPLE {
            broken += usize::from(link.reset() > 0);
            last = Instant::now();
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        assert!(broken >= 2, "{broken} times");
        scene.settled(1).await;
        let recovery = last.elapsed();
        assert_begun_once(&scene);
        // Some strike while it is connecting.
        assert!(worker.log().contains("lost the broker"));
        tally.add(scene.end(vec![worker], PEOPLE).await, recovery);
    }
    tally.tell();
}

#[rstest]
#[tokio::test]
async fn down_at_the_start(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let (mut moments, mut tally) = (
        Moments(0x7137_4491),
        Tally::new("broker: down at the start", kind, 0),
    );
    for _ in 0..runs(1).min(10) {
        let mut scene = Scene::new(kind).await;
        let queue = &scene.rabbit.broker.queue;
        scene
            .rabbit
            .declare(queue, true, lapin::types::FieldTable::default())
            .await;
        scene.db.add_people(7, PEOPLE);
        scene.publish(7).await;
        let port = proxy::free_port();
        scene.by_way_of(port, None);
        let worker = scene.settings.spawn();
        until("a try to connect", LIMIT, async || {
            worker
                .log()
                .contains("cannot consume from the broker")
                .then_some(())
        })
        .await;
        tokio::time::sleep(moments.next(3000)).await;
        assert!(scene.db.dispatches().is_empty() && scene.smtp.messages().is_empty());
        let _link = Link::at(port, scene.watch.port()).await;
        let recovery = scene.settled(1).await;
        assert_begun_once(&scene);
        tally.add(scene.end(vec![worker], PEOPLE).await, recovery);
    }
    tally.tell();
}

/// No byte passes for a while, and nobody is told. Within the heartbeat's patience the connection survives
/// that; beyond it, both sides give it up, and what they said last was never heard.
#[rstest]
#[case::within_the_heartbeat("broker: black hole within the heartbeat", None, None)]
#[case::beyond_the_heartbeat("broker: black hole beyond the heartbeat", Some(1), Some(5))]
#[tokio::test]
async fn black_hole(
    #[case] fault: &'static str,
    #[case] short: Option<u32>,
    #[case] long: Option<u32>,
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let (hole, heartbeat, slow) = if full() { (30, long, 2400) } else { (5, short, 400) };
    let query = heartbeat.map(|seconds| format!("heartbeat={seconds}"));
    let (mut moments, mut tally) = (Moments(0xa54f_f53a), Tally::new(fault, kind, 0));
    for run in 0..runs(1).min(3) {
        let smtp = relay(run + usize::from(kind == Kind::Postgres), 40, slow).await;
        let mut scene = Scene::with(kind, smtp).await;
        let link = Link::start(scene.watch.port()).await;
        scene.by_way_of(link.port(), query.as_deref());
        scene.db.add_people(7, PEOPLE);
        let worker = scene.settings.start().await;
        scene.publish(7).await;
        mid_run(&scene, &mut moments, 200).await;
        link.hold();
        tokio::time::sleep(Duration::from_secs(hole)).await;
        assert_eq!(scene.watch.acks(), 0, "an ack passed the hole");
        let over = Instant::now();
        link.release();
        one_more(&scene, &worker).await;
        scene.settled(2).await;
        let recovery = over.elapsed();
        let log = worker.log();
        assert_eq!(log.contains("lost the broker"), heartbeat.is_some());
        assert_eq!(log.contains("heartbeat"), heartbeat.is_some());
        assert_begun_once(&scene);
        tally.add(scene.end(vec![worker], PEOPLE + 1).await, recovery);
    }
    tally.tell();
}

/// The broker closes the channel of whoever holds a message for too long.
#[tokio::test]
async fn consumer_timeout() {
    let node = Node::start("-rabbit consumer_timeout 1500 -rabbit channel_tick_interval 300");
    for kind in kinds(Kind::Sqlite) {
        let mut tally = Tally::new("broker: consumer timeout of 1.5 s", kind, 0);
        for _ in 0..runs(1).min(6) {
            let smtp = slow_relay(Duration::from_millis(400)).await;
            let scene = Scene::at(kind, smtp, Rabbit::at(node.url()).await).await;
            scene.db.add_people(7, PEOPLE);
            let worker = scene.settings.start().await;
            scene.publish(7).await;
            scene.completed(1).await;
            let times = worker.log().matches("PRECONDITION").count();
            assert!(times > 0, "the channel was never closed");
            one_more(&scene, &worker).await;
            let recovery = scene.settled(2).await;
            assert_begun_once(&scene);
            tally.add(scene.end(vec![worker], PEOPLE + 1).await, recovery);
        }
        tally.tell();
    }
}
