//! The wall clock is wrong, or jumps.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use rstest::rstest;

use super::scene::*;
use crate::support::clock::FakeClock;
use crate::support::database::{Kind, TestDatabase};
use crate::support::mailed::slow_relay;
use crate::support::postgres::Postgres;
use crate::support::smtp::{Action, At, Options, SmtpServer};
use crate::support::until;
use crate::support::worker::{Settings, Worker};

/// Enough to be told for longer than a lease.
const MANY: usize = 500;

/// Retries are meant to come after two seconds; nobody waits for an hour.
const SOON: Duration = Duration::from_secs(15);

fn with_clock(settings: &Settings, clock: &FakeClock) -> Settings {
    let mut settings = settings.clone();
    for (name, value) in clock.variables() {
        settings = settings.set(name, value);
    }
    settings
}

/// Slow enough for a lease to run out in mid-run, were it not renewed.
async fn slow_scene(db: TestDatabase) -> Scene {
    let mut scene = Scene::on(db, slow_relay(Duration::from_millis(40)).await).await;
    scene.settings = scene.settings.set("SMTP_CONNECTIONS", 4);
    scene.db.add_people(7, MANY);
    scene
}

/// Whether the worker's clock is off indeed.
fn assert_off(scene: &Scene, hours: i64) {
    let sent = scene.db.rows().into_iter().find_map(|row| row.sent_at);
    let off = sent.expect("somebody was told") - Utc::now().naive_utc();
    let wrong = (off - chrono::TimeDelta::hours(hours)).num_seconds().abs();
    assert!(wrong < 60, "its clock is off by {off}");
}

/// One worker's clock is off; the other one waits until the first is killed, and no longer.
#[rstest]
#[tokio::test]
async fn off_at_one_of_two_workers(#[values(1, -1)] hours: i64, #[values(true, false)] holder_off: bool) {
    let fault = match (hours, holder_off) {
        (1, true) => "clock: of the killed worker +1 h",
        (1, false) => "clock: of the other worker +1 h",
        (_, true) => "clock: of the killed worker -1 h",
        (_, false) => "clock: of the other worker -1 h",
    };
    let mut tally = Tally::new(fault, Kind::Postgres, IN_FLIGHT);
    for _ in 0..runs(1).min(3) {
        let scene = slow_scene(TestDatabase::postgres()).await;
        let clock = FakeClock::off_by(hours);
        let (right, off) = (scene.settings.clone(), with_clock(&scene.settings, &clock));
        let (first, second) = if holder_off {
            (&off, &right)
        } else {
            (&right, &off)
        };
        let mut holder = first.start().await;
        scene.publish(7).await;
        scene.smtp.wait_for(1, LIMIT).await;
        let other = second.start().await;
        tokio::time::sleep(LEASE * 5 / 4).await;
        assert_eq!(scene.db.dispatch().starts, 1, "taken over from a living one");
        let told = scene.smtp.messages().len();
        assert!(told < MANY, "not in mid-run");
        if holder_off {
            assert_off(&scene, hours);
        }
        holder.kill9();
        FakeClock::tidy(holder.id());
        let killed = Instant::now();
        scene.smtp.wait_for(told + IN_FLIGHT + 1, LIMIT).await;
        let waited = killed.elapsed();
        assert!(waited < LEASE + RECOVERY, "it went on after {waited:?}");
        let recovery = scene.completed(1).await;
        assert_eq!(scene.db.dispatch().starts, 2);
        tally.add(scene.end(vec![other], MANY).await, recovery);
    }
    tally.tell();
}

/// To and fro while a lease is held and looked at.
#[rstest]
#[tokio::test]
async fn jumps_in_mid_run(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let mut tally = Tally::new("clock: worker's, jumps by hours", kind, 0);
    for _ in 0..runs(1).min(5) {
        let scene = slow_scene(TestDatabase::new(kind)).await;
        let clock = FakeClock::off_by(0);
        let holder = with_clock(&scene.settings, &clock).start().await;
        scene.publish(7).await;
        scene.smtp.wait_for(1, LIMIT).await;
        let other = scene.settings.start().await;
        for hours in [1, -1, 0, -1] {
            clock.jump_to(hours);
            tokio::time::sleep(LEASE / 2).await;
            assert!(scene.smtp.messages().len() < MANY, "not in mid-run");
        }
        assert_eq!(scene.db.dispatch().starts, 1, "taken over from a living one");
        let recovery = scene.completed(1).await;
        scene.rabbit.wait_counts(0, 0).await;
        tally.add(scene.end(vec![holder, other], MANY).await, recovery);
    }
    tally.tell();
}

/// So many times 451 to those who are `hard`, and a schedule with a long step behind the short ones.
async fn with_deferred(db: TestDatabase, times: usize, retries: u32) -> Scene {
    let seen = AtomicUsize::new(0);
    let options = Options::default().script(move |event| {
        let hit = event.at == At::Rcpt && event.recipient.starts_with("hard");
        (hit && seen.fetch_add(1, Ordering::SeqCst) < times).then_some(Action::Reply("451 4.3.0 busy"))
    });
    let mut scene = Scene::on(db, SmtpServer::start(options).await).await;
    scene.settings = scene
        .settings
        .set("MAX_RETRIES", retries)
        .set("RETRY_DELAY", "3s")
        .set("RETRY_SCHEDULE", "3s,3s,8h");
    scene.db.add_people(7, 10);
    scene.db.add_numbered(7, "hard", 2);
    scene
}

/// Waits until those who are hard have a next time. What waits in the ledger was acked.
async fn deferred(scene: &Scene, status: &str) {
    until("a next time", LIMIT, async || {
        let rows = scene.db.rows();
        let timed = rows.iter().filter(|row| row.next_attempt_at.is_some()).count();
        (timed == 2 && (status == "pending" || scene.watch.acks() > 0)).then_some(())
    })
    .await;
}

/// The rows' next time was set by a clock that is an hour ahead of whoever is left.
async fn retried_soon(scene: &Scene) -> Duration {
    let recovery = scene.completed(1).await;
    assert!(recovery < SOON, "retried after {recovery:?}");
    scene.rabbit.wait_counts(0, 0).await;
    recovery
}

async fn end(scene: Scene, workers: Vec<Worker>) -> Cost {
    scene.end(workers, 12).await
}

#[rstest]
#[case::in_the_ledger("clock: worker's, set back before a retry (deferred)", 0, "deferred")]
#[case::in_hand("clock: worker's, set back before a retry (in hand)", 3, "pending")]
#[tokio::test]
async fn set_back_before_a_retry(
    #[case] fault: &'static str,
    #[case] retries: u32,
    #[case] status: &str,
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let mut tally = Tally::new(fault, kind, 0);
    for _ in 0..runs(1).min(3) {
        let scene = with_deferred(TestDatabase::new(kind), 2, retries).await;
        let clock = FakeClock::off_by(0);
        let worker = with_clock(&scene.settings, &clock).start().await;
        scene.publish(7).await;
        scene.db.wait_count("sent", 10).await;
        deferred(&scene, status).await;
        clock.jump_to(-1);
        let recovery = retried_soon(&scene).await;
        tally.add(end(scene, vec![worker]).await, recovery);
    }
    tally.tell();
}

#[rstest]
#[case::in_the_ledger("clock: of a worker killed before a retry, +1 h (deferred)", 0, "deferred")]
#[case::in_hand("clock: of a worker killed before a retry, +1 h (in hand)", 3, "pending")]
#[tokio::test]
async fn retried_by_another_clock(#[case] fault: &'static str, #[case] retries: u32, #[case] status: &str) {
    let mut tally = Tally::new(fault, Kind::Postgres, 0);
    for _ in 0..runs(1).min(3) {
        let scene = with_deferred(TestDatabase::postgres(), 2, retries).await;
        let clock = FakeClock::off_by(1);
        let mut ahead = with_clock(&scene.settings, &clock).start().await;
        scene.publish(7).await;
        scene.db.wait_count("sent", 10).await;
        deferred(&scene, status).await;
        ahead.kill9();
        FakeClock::tidy(ahead.id());
        let other = scene.settings.start().await;
        let recovery = retried_soon(&scene).await;
        tally.add(end(scene, vec![other]).await, recovery);
    }
    tally.tell();
}

/// The database server's clock is off, and jumps: in mid-run, and before a retry.
#[rstest]
#[tokio::test]
async fn at_the_database(#[values(1, -1)] hours: i64) {
    let fault = if hours == 1 {
        "clock: PostgreSQL's, +1 h, then right"
    } else {
        "clock: PostgreSQL's, -1 h, then right"
    };
    let mut tally = Tally::new(fault, Kind::Postgres, 0);
    let clock = FakeClock::off_by(hours);
    let server = Postgres::start_with(clock.variables()).await;
    for _ in 0..runs(1).min(3) {
        clock.jump_to(hours);
        let scene = with_deferred(TestDatabase::on_postgres(&server), 2, 0).await;
        let (one, two) = (scene.settings.start().await, scene.settings.start().await);
        scene.publish(7).await;
        deferred(&scene, "deferred").await;
        clock.jump_to(0);
        let recovery = retried_soon(&scene).await;
        tally.add(end(scene, vec![one, two]).await, recovery);

        clock.jump_to(hours);
        let scene = slow_scene(TestDatabase::on_postgres(&server)).await;
        let (one, two) = (scene.settings.start().await, scene.settings.start().await);
        scene.publish(7).await;
        scene.smtp.wait_for(1, LIMIT).await;
        for hours in [0, hours] {
            clock.jump_to(hours);
            tokio::time::sleep(LEASE).await;
        }
        let recovery = scene.completed(1).await;
        assert_eq!(scene.db.dispatch().starts, 1, "taken over from a living one");
        scene.rabbit.wait_counts(0, 0).await;
        tally.add(scene.end(vec![one, two], MANY).await, recovery);
    }
    tally.tell();
}
