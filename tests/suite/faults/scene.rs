//! What every row of the campaign shares: the scene, the judge of it, and the line of the table.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::database::{Kind, TestDatabase};
use crate::support::mailed::{by_recipient, slow_relay, surplus};
use crate::support::rabbit::{self, Rabbit};
use crate::support::smtp::SmtpServer;
use crate::support::until;
use crate::support::watch::Watch;
use crate::support::worker::{Settings, Worker};

pub(super) const PEOPLE: usize = 300;
pub(super) const IN_FLIGHT: usize = 32;
pub(super) const LEASE: Duration = Duration::from_secs(2);
/// For one run, and beyond LEASE for a recovery.
pub(super) const LIMIT: Duration = Duration::from_mins(2);
pub(super) const RECOVERY: Duration = Duration::from_secs(5);
/// A worker's peak memory in MB, in a build without optimisation.
const MEMORY: u64 = 100;

/// How often each fault strikes.
pub(super) fn runs(few: usize) -> usize {
    let runs = std::env::var("HERALD_FAULT_RUNS")
        .ok()
        .and_then(|n| n.parse().ok());
    runs.unwrap_or(few)
}

/// Whether this is the long form: then faults last as long as they would at a user's.
pub(super) fn full() -> bool {
    runs(0) >= 100
}

/// Moments that differ from run to run and are the same in each campaign (xorshift).
pub(super) struct Moments(pub(super) u64);

impl Moments {
    pub(super) fn next(&mut self, below: u64) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(self.0 % below)
    }
}

/// What a run that ended well has cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// Surplus e-mails, all with the bytes of the first.
    pub(super) copies: usize,
    /// The highest peak memory of the workers that were stopped at its end, in MB.
    pub(super) memory: u64,
}

/// What one row of the campaign saw.
pub(super) struct Tally {
    fault: &'static str,
    on: String,
    runs: usize,
    most_copies: usize,
    bound: usize,
    worst: Duration,
    memory: u64,
}

impl Tally {
    /// `bound`: so many surplus copies a run are allowed.
    pub(super) fn new(fault: &'static str, on: impl std::fmt::Debug, bound: usize) -> Self {
        Self {
            fault,
            on: format!("{on:?}"),
            runs: 0,
            most_copies: 0,
            bound,
            worst: Duration::ZERO,
            memory: 0,
        }
    }

    pub(super) fn add(&mut self, cost: Cost, recovery: Duration) {
        self.runs += 1;
        self.most_copies = self.most_copies.max(cost.copies);
        self.worst = self.worst.max(recovery);
        self.memory = self.memory.max(cost.memory);
        assert!(
            cost.copies <= self.bound,
            "{}: {} copies, {} allowed",
            self.fault,
            cost.copies,
            self.bound
        );
        assert!(cost.memory <= MEMORY, "{}: {} MB", self.fault, cost.memory);
    }

    /// A line of the table. Nobody was lost, or the run would not have come so far.
    pub(super) fn tell(&self) {
        let Self {
            fault,
            on,
            runs,
            most_copies,
            bound,
            worst,
            memory,
        } = self;
        let line = format!(
            "| {fault} | {on} | {runs} | 0 | {most_copies} (at most {bound}) | {:.1} s | {memory} MB |",
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

/// A database, a queue, a relay, and workers between them who are watched.
pub(super) struct Scene {
    pub(super) db: TestDatabase,
    pub(super) rabbit: Rabbit,
    pub(super) smtp: SmtpServer,
    pub(super) watch: Watch,
    pub(super) settings: Settings,
}

impl Scene {
    /// The relay takes 40 ms for each e-mail.
    pub(super) async fn new(kind: Kind) -> Self {
        Self::with(kind, slow_relay(Duration::from_millis(40)).await).await
    }

    pub(super) async fn with(kind: Kind, smtp: SmtpServer) -> Self {
        Self::on(TestDatabase::new(kind), smtp).await
    }

    pub(super) async fn on(db: TestDatabase, smtp: SmtpServer) -> Self {
        let rabbit = Rabbit::new().await;
        let mut broker = rabbit::address();
        let target = format!("127.0.0.1:{}", broker.port().expect("a port"));
        let watch = Watch::start(target, db.observer()).await;
        broker.set_port(Some(watch.port())).expect("an amqp URL");
        let settings = Settings::new(&db, &rabbit)
            .relay(&smtp)
            .set("LAVINMQ_URL", broker)
            .set("IN_FLIGHT", IN_FLIGHT)
            .set("BATCH_SIZE", 50)
            .set("LEASE", LEASE.as_secs());
        Self {
            db,
            rabbit,
            smtp,
            watch,
            settings,
        }
    }

    pub(super) async fn publish(&self, event: i64) {
        self.rabbit
            .send(&json!({"type": "UPDATED", "event_id": event}))
            .await;
    }

    /// Waits until so many dispatches are completed; says how long that took.
    pub(super) async fn completed(&self, count: usize) -> Duration {
        let begun = Instant::now();
        until("all is done", LIMIT, async || {
            let all = self.db.dispatches();
            let done = all.iter().filter(|d| d.status == "completed").count();
            (done == count && all.len() == count).then_some(())
        })
        .await;
        begun.elapsed()
    }

    /// Each row that is `sent` has an acceptance at the relay.
    pub(super) fn assert_sent_is_true(&self) {
        let rows = self.db.rows();
        // Read behind the rows, so that it can only know more.
        let taken = by_recipient(self.smtp.messages());
        for row in rows.iter().filter(|row| row.status == "sent") {
            assert!(taken.contains_key(row.to()), "{row:?} was never taken");
        }
    }

    /// The end of a run in which nobody failed: the ledger says `sent` of all `people`, the relay has an
    /// acceptance for each of them, no ack came too early, and the queues are empty once the workers are
    /// gone.
    pub(super) async fn end(self, workers: Vec<Worker>, people: usize) -> Cost {
        let memory = workers.iter().map(Worker::peak_memory).max().unwrap_or(0);
        for worker in workers {
            worker.stop().await;
        }
        self.watch.assert_right();
        assert_eq!(
            self.db.counts(),
            [("sent".to_owned(), i64::try_from(people).expect("few"))].into()
        );
        let copies = surplus(&self.smtp, people);
        for queue in [self.rabbit.broker.queue.clone(), self.rabbit.dead()] {
            assert_eq!(self.rabbit.ready(&queue).await, Some(0), "{queue}");
        }
        assert!(self.watch.acks() > 0, "no ack was seen");
        self.rabbit.clean().await;
        Cost { copies, memory }
    }
}
