//! The database is away, hangs, or is locked by somebody else.

use std::time::{Duration, Instant};

use rstest::rstest;

use super::scene::*;
use crate::support::database::{Kind, TestDatabase};
use crate::support::mailed::slow_relay;
use crate::support::outage::Lock;
use crate::support::postgres::Postgres;
use crate::support::worker::Worker;

const ALL: usize = 2 * PEOPLE;

/// A relay that takes `time` for each e-mail, and a message for `ALL` in mid-run.
async fn in_mid_run(db: TestDatabase, moment: Duration) -> (Scene, Worker) {
    let scene = Scene::on(db, slow_relay(Duration::from_millis(40)).await).await;
    scene.db.add_people(7, ALL);
    let worker = scene.settings.start().await;
    scene.publish(7).await;
    scene.smtp.wait_for(1, LIMIT).await;
    tokio::time::sleep(moment).await;
    (scene, worker)
}

/// From here on nothing can be committed.
fn taken_when_it_went(scene: &Scene) -> usize {
    let taken = scene.smtp.messages().len();
    assert!((1..ALL).contains(&taken), "not in mid-run: {taken} of {ALL}");
    taken
}

/// Until here nothing could be committed.
fn assert_within_window(scene: &Scene, taken_then: usize) {
    let more = scene.smtp.messages().len() - taken_then;
    assert!(more <= IN_FLIGHT, "{more} e-mails without a ledger");
}

/// The end of a run whose database is there again.
async fn judged(scene: Scene, worker: Worker) -> (Cost, Duration) {
    scene.assert_sent_is_true();
    let recovery = scene.completed(1).await;
    scene.rabbit.wait_counts(0, 0).await;
    assert_eq!(scene.db.dispatch().starts, 1, "nobody took it over");
    (scene.end(vec![worker], ALL).await, recovery)
}

#[rstest]
#[case::fast("database: PostgreSQL restarted, fast", "INT")]
#[case::immediate("database: PostgreSQL restarted, immediate", "QUIT")]
#[case::killed("database: kill -9 of PostgreSQL", "KILL")]
#[tokio::test]
async fn restarted(#[case] fault: &'static str, #[case] signal: &str) {
    let (mut moments, mut tally) = (Moments(0x51ed_270b), Tally::new(fault, Kind::Postgres, 0));
    let mut server = Postgres::start().await;
    for _ in 0..runs(1).min(20) {
        let db = TestDatabase::on_postgres(&server);
        let (scene, worker) = in_mid_run(db, moments.next(600)).await;
        server.end(signal).await;
        let taken = taken_when_it_went(&scene);
        tokio::time::sleep(moments.next(700)).await;
        assert_within_window(&scene, taken);
        server.serve().await;
        let (cost, recovery) = judged(scene, worker).await;
        tally.add(cost, recovery);
    }
    tally.tell();
}

/// Long enough for a lease to run out more than once.
fn long() -> Duration {
    Duration::from_secs(if full() { 30 } else { 5 })
}

#[tokio::test]
async fn stopped() {
    let (mut moments, mut tally) = (
        Moments(0x7f4a_7c15),
        Tally::new("database: PostgreSQL stopped for a while", Kind::Postgres, 0),
    );
    let mut server = Postgres::start().await;
    for _ in 0..runs(1).min(3) {
        let db = TestDatabase::on_postgres(&server);
        let (scene, worker) = in_mid_run(db, moments.next(600)).await;
        server.end("INT").await;
        let taken = taken_when_it_went(&scene);
        let begun = Instant::now();
        assert_eq!(worker.get("/health").await.status(), 503);
        tokio::time::sleep(long().saturating_sub(begun.elapsed())).await;
        assert_within_window(&scene, taken);
        server.serve().await;
        let (cost, recovery) = judged(scene, worker).await;
        tally.add(cost, recovery);
    }
    tally.tell();
}

/// It accepts connections and answers nothing.
#[tokio::test]
async fn frozen() {
    let (mut moments, mut tally) = (
        Moments(0x1ce4_e5b9),
        Tally::new("database: PostgreSQL frozen for a while", Kind::Postgres, 0),
    );
    let server = Postgres::start().await;
    for _ in 0..runs(1).min(3) {
        let db = TestDatabase::on_postgres(&server);
        let (scene, worker) = in_mid_run(db, moments.next(600)).await;
        server.signal_all("STOP");
        let taken = taken_when_it_went(&scene);
        let begun = Instant::now();
        assert_eq!(worker.get("/health").await.status(), 503);
        tokio::time::sleep(long().saturating_sub(begun.elapsed())).await;
        assert_within_window(&scene, taken);
        server.signal_all("CONT");
        let (cost, recovery) = judged(scene, worker).await;
        tally.add(cost, recovery);
    }
    tally.tell();
}

/// A window that does not hold it back: sending stops because the lease can no longer be trusted.
#[tokio::test]
async fn frozen_with_a_wide_window() {
    let many = 1500;
    let mut tally = Tally::new("database: PostgreSQL frozen, IN_FLIGHT=2000", Kind::Postgres, 0);
    let server = Postgres::start().await;
    for _ in 0..runs(1).min(3) {
        let db = TestDatabase::on_postgres(&server);
        let mut scene = Scene::on(db, slow_relay(Duration::from_millis(40)).await).await;
        scene.settings = scene.settings.set("IN_FLIGHT", 2000).set("SMTP_CONNECTIONS", 8);
        scene.db.add_people(7, many);
        let worker = scene.settings.start().await;
        scene.publish(7).await;
        scene.smtp.wait_for(100, LIMIT).await;
        let frozen = Instant::now();
        server.signal_all("STOP");
        let before = scene.smtp.messages().len();
        tokio::time::sleep(LEASE.saturating_sub(frozen.elapsed())).await;
        let then = scene.smtp.messages().len();
        assert!(before + IN_FLIGHT < then && then < many, "{before}, then {then}");
        tokio::time::sleep(LEASE).await;
        assert_eq!(scene.smtp.messages().len(), then, "sent on without a lease");
        server.signal_all("CONT");
        scene.assert_sent_is_true();
        let recovery = scene.completed(1).await;
        scene.rabbit.wait_counts(0, 0).await;
        assert_eq!(scene.db.dispatch().starts, 1, "nobody took it over");
        tally.add(scene.end(vec![worker], many).await, recovery);
    }
    tally.tell();
}

#[rstest]
#[tokio::test]
async fn locked(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let (mut moments, mut tally) = (
        Moments(0x94d0_49bb),
        Tally::new("database: locked table", kind, 0),
    );
    for _ in 0..runs(1).min(10) {
        let (scene, worker) = in_mid_run(TestDatabase::new(kind), moments.next(600)).await;
        let lock = Lock::take(&scene.db).await;
        let taken = taken_when_it_went(&scene);
        tokio::time::sleep(LEASE * 3 / 2 + moments.next(1000)).await;
        assert_within_window(&scene, taken);
        drop(lock);
        let (cost, recovery) = judged(scene, worker).await;
        tally.add(cost, recovery);
    }
    tally.tell();
}
