//! The fault campaign: the same fault many times, at moments that differ, judged from outside by what the
//! relay took, what the ledger says and what the queue holds. `scripts/faults` runs it longer and writes
//! down what came of it; here each fault strikes a few times.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::json;

use crate::support::database::{Kind, TestDatabase};
use crate::support::mailed::{slow_relay, surplus};
use crate::support::rabbit::Rabbit;
use crate::support::smtp::SmtpServer;
use crate::support::until;
use crate::support::worker::{Settings, Worker};

const PEOPLE: usize = 300;
const IN_FLIGHT: usize = 32;
const LEASE: Duration = Duration::from_secs(2);
/// For one run, and beyond LEASE for a recovery.
const LIMIT: Duration = Duration::from_mins(2);
const RECOVERY: Duration = Duration::from_secs(5);

/// How often each fault strikes.
fn runs(few: usize) -> usize {
    let runs = std::env::var("HERALD_FAULT_RUNS")
        .ok()
        .and_then(|n| n.parse().ok());
    runs.unwrap_or(few)
}

/// Moments that differ from run to run and are the same in each campaign (xorshift).
struct Moments(u64);

impl Moments {
    fn next(&mut self, below: u64) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(self.0 % below)
    }
}

/// What one row of the campaign saw.
struct Tally {
    fault: &'static str,
    on: String,
    runs: usize,
    most_copies: usize,
    bound: usize,
    worst: Duration,
}

impl Tally {
    fn new(fault: &'static str, on: impl std::fmt::Debug, bound: usize) -> Self {
        let (runs, most_copies, worst) = (0, 0, Duration::ZERO);
        let on = format!("{on:?}");
        Self {
            fault,
            on,
            runs,
            most_copies,
            bound,
            worst,
        }
    }

    fn add(&mut self, copies: usize, recovery: Duration) {
        self.runs += 1;
        self.most_copies = self.most_copies.max(copies);
        self.worst = self.worst.max(recovery);
        assert!(copies <= self.bound, "{}: {copies} copies", self.fault);
    }

    /// A line of the table. Nobody was lost, or the run would not have come so far.
    fn tell(&self) {
        let Self {
            fault,
            on,
            runs,
            most_copies,
            bound,
            worst,
        } = self;
        let line = format!(
            "| {fault} | {on} | {runs} | 0 | {most_copies} (at most {bound}) | {:.1} s |",
            worst.as_secs_f64()
        );
        if let Ok(path) = std::env::var("HERALD_FAULTS_TABLE") {
            let mut table = OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .expect("the table");
            writeln!(table, "{line}").expect("the table");
        }
    }
}

struct Scene {
    db: TestDatabase,
    rabbit: Rabbit,
    smtp: SmtpServer,
    settings: Settings,
}

impl Scene {
    async fn new(kind: Kind) -> Self {
        let (db, rabbit) = (TestDatabase::new(kind), Rabbit::new().await);
        let smtp = slow_relay(Duration::from_millis(40)).await;
        let settings = Settings::new(&db, &rabbit)
            .relay(&smtp)
            .set("IN_FLIGHT", IN_FLIGHT)
            .set("BATCH_SIZE", 50)
            .set("LEASE", LEASE.as_secs());
        Self {
            db,
            rabbit,
            smtp,
            settings,
        }
    }

    async fn publish(&self, event: i64) {
        self.rabbit
            .send(&json!({"type": "UPDATED", "event_id": event}))
            .await;
    }

    /// Waits until so many dispatches are completed; says how long that took.
    async fn completed(&self, count: usize) -> Duration {
        let begun = Instant::now();
        until("all is done", LIMIT, async || {
            let all = self.db.dispatches();
            let done = all.iter().filter(|d| d.status == "completed").count();
            (done == count && all.len() == count).then_some(())
        })
        .await;
        begun.elapsed()
    }

    /// The queues are empty once the workers are gone, and the ledger says `sent` of everybody.
    async fn end(self, workers: Vec<Worker>, people: usize) -> usize {
        for worker in workers {
            worker.stop().await;
        }
        assert_eq!(
            self.db.counts(),
            [("sent".to_owned(), i64::try_from(people).expect("few"))].into()
        );
        let copies = surplus(&self.smtp, people);
        for queue in [self.rabbit.broker.queue.clone(), self.rabbit.dead()] {
            assert_eq!(self.rabbit.ready(&queue).await, Some(0), "{queue}");
        }
        self.rabbit.clean().await;
        copies
    }
}

#[rstest]
#[tokio::test]
async fn killed_at_any_moment(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let (mut moments, mut tally) = (Moments(0x9e37_79b9), Tally::new("kill -9", kind, IN_FLIGHT));
    for _ in 0..runs(3) {
        let scene = Scene::new(kind).await;
        scene.db.add_people(7, PEOPLE);
        let mut worker = scene.settings.start().await;
        scene.publish(7).await;
        tokio::time::sleep(moments.next(700)).await;
        worker.kill9();
        let worker = scene.settings.start().await;
        let recovery = scene.completed(1).await;
        assert!(recovery < LEASE + RECOVERY, "recovered after {recovery:?}");
        tally.add(scene.end(vec![worker], PEOPLE).await, recovery);
    }
    tally.tell();
}

#[rstest]
#[tokio::test]
async fn stopped_at_any_moment(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let (mut moments, mut tally) = (Moments(0x2545_f491), Tally::new("SIGTERM", kind, 0));
    for _ in 0..runs(2) {
        let scene = Scene::new(kind).await;
        scene.db.add_people(7, PEOPLE);
        let worker = scene.settings.start().await;
        scene.publish(7).await;
        tokio::time::sleep(moments.next(700)).await;
        worker.stop().await;
        let worker = scene.settings.start().await;
        let recovery = scene.completed(1).await;
        tally.add(scene.end(vec![worker], PEOPLE).await, recovery);
    }
    tally.tell();
}

#[tokio::test]
async fn one_message_twice_at_two_workers() {
    let mut tally = Tally::new("one message twice, two workers", Kind::Postgres, 0);
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

#[rstest]
#[tokio::test]
async fn connection_closed_by_the_broker(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let (mut moments, mut tally) = (
        Moments(0x1656_67b1),
        Tally::new("broker closes the connection", kind, 0),
    );
    for _ in 0..runs(1).min(5) {
        let scene = Scene::new(kind).await;
        scene.db.add_people(7, 2 * PEOPLE);
        let worker = scene.settings.start().await;
        let connection = scene.rabbit.consuming_connection().await;
        scene.publish(7).await;
        scene.smtp.wait_for(1, LIMIT).await;
        tokio::time::sleep(moments.next(700)).await;
        assert!(scene.rabbit.close(&connection).await);
        assert!(scene.smtp.messages().len() < 2 * PEOPLE, "closed too late");
        let recovery = scene.completed(1).await;
        scene.rabbit.wait_counts(0, 0).await;
        assert_eq!(scene.db.dispatch().starts, 1, "it was adopted, not begun again");
        tally.add(scene.end(vec![worker], 2 * PEOPLE).await, recovery);
    }
    tally.tell();
}

/// Three events over two workers, one of which is killed again and again.
#[tokio::test]
async fn one_of_two_workers_killed_five_times() {
    const KILLS: usize = 5;
    let mut tally = Tally::new(
        "one of two workers killed five times, three events",
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
