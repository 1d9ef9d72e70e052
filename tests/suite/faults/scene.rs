//! What every row of the campaign shares: the scene, the judge of it, and the line of the table.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::support::database::{Kind, TestDatabase};
use crate::support::mailed::{by_recipient, slow_relay, surplus};
use crate::support::rabbit::Rabbit;
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

/// When in a run something strikes: after so many e-mails, and a little later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(usize, Duration);

impl Moments {
    /// In the middle of a run for `people`.
    pub(super) fn mid_run(&mut self, people: usize) -> Moment {
        let told = self.next(people as u64 / 2).as_millis();
        Moment(usize::try_from(told).expect("few"), self.next(40))
    }
}

/// Checks how long a recovery took. In the short form other tests have the machine as well, and it says
/// little.
pub(super) fn in_time(recovery: Duration) {
    let bound = if full() { LEASE + RECOVERY } else { LIMIT / 4 };
    assert!(recovery < bound, "recovered after {recovery:?}");
}

/// Plays scenes, several at a time; what comes of each.
pub(super) async fn play<T, F: Future<Output = T>>(scenes: impl Iterator<Item = F>) -> Vec<T> {
    // The long form has the machine for itself.
    let at_once = if full() { 4 } else { 2 };
    futures_util::stream::iter(scenes)
        .buffer_unordered(at_once)
        .collect()
        .await
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

    pub(super) fn runs(&self) -> usize {
        self.runs
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
    /// The ids of all that was published through this scene.
    published: Mutex<Vec<String>>,
    /// The ids of those that are to end as dead letters.
    refused: Mutex<BTreeSet<String>>,
}

impl Scene {
    /// The relay takes 40 ms for each e-mail.
    pub(super) async fn new(kind: Kind) -> Self {
        Self::with(kind, slow_relay(Duration::from_millis(40)).await).await
    }

    pub(super) async fn with(kind: Kind, smtp: SmtpServer) -> Self {
        Self::at(kind, smtp, Rabbit::new().await).await
    }

    /// At this broker.
    pub(super) async fn at(kind: Kind, smtp: SmtpServer, rabbit: Rabbit) -> Self {
        Self::between(TestDatabase::new(kind), smtp, rabbit).await
    }

    /// With this database.
    pub(super) async fn on(db: TestDatabase, smtp: SmtpServer) -> Self {
        Self::between(db, smtp, Rabbit::new().await).await
    }

    async fn between(db: TestDatabase, smtp: SmtpServer, rabbit: Rabbit) -> Self {
        let mut broker = rabbit.url().clone();
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
            published: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    pub(super) async fn publish(&self, event: i64) {
        self.publish_as(&uuid::Uuid::new_v4().to_string(), event).await;
    }

    pub(super) async fn publish_as(&self, id: &str, event: i64) {
        self.send(id, &json!({"type": "UPDATED", "event_id": event}))
            .await;
    }

    /// A message that says nothing.
    pub(super) async fn publish_invalid(&self) {
        let id = uuid::Uuid::new_v4().to_string();
        self.send(&id, &json!({"type": "UPDATED"})).await;
        self.refused.lock().expect("no panic").insert(id);
    }

    async fn send(&self, id: &str, message: &Value) {
        self.rabbit.send_as(id, message).await;
        self.published.lock().expect("no panic").push(id.to_owned());
    }

    /// Waits for the moment to strike.
    pub(super) async fn reach(&self, Moment(told, pause): Moment) {
        self.smtp.wait_for(told, LIMIT).await;
        tokio::time::sleep(pause).await;
    }

    /// What has just struck was in time if not all were told.
    pub(super) fn struck(&self, people: usize) {
        let told = self.smtp.messages().len();
        assert!(told < people, "too late: {told} of {people} are told");
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

    /// From now on the workers to be started reach the broker by way of `port`, with this in their URL.
    pub(super) fn by_way_of(&mut self, port: u16, query: Option<&str>) {
        let mut url = self.rabbit.url().clone();
        url.set_port(Some(port)).expect("an amqp URL");
        url.set_query(query);
        self.settings = self.settings.clone().set("LAVINMQ_URL", url);
    }

    /// The workers to be started log in as this user, whose password is the name as well.
    pub(super) fn log_in_as(&mut self, user: &str) {
        let mut url = self.rabbit.url().clone();
        url.set_port(Some(self.watch.port())).expect("an amqp URL");
        url.set_username(user).expect("an amqp URL");
        url.set_password(Some(user)).expect("an amqp URL");
        self.settings = self.settings.clone().set("LAVINMQ_URL", url);
    }

    /// Waits until so many dispatches are completed and nothing is left at the broker, neither in the queue
    /// nor in a worker's hand; says how long that took.
    pub(super) async fn settled(&self, count: usize) -> Duration {
        let begun = Instant::now();
        self.completed(count).await;
        let mut quiet = 0;
        until("all is acked", LIMIT, async || {
            let ready = self.rabbit.ready(&self.rabbit.broker.queue).await;
            let acked = self.watch.acks() >= self.rabbit.published();
            let left = ready != Some(0) || self.watch.in_hand() > 0;
            // Looked at thrice: a message may be on its way between the two.
            quiet = if acked && !left { quiet + 1 } else { 0 };
            (quiet == 3).then_some(())
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

    /// The end of a run in which nobody failed: the ledger says `sent` of all `people`, and what
    /// [`Self::end_as`] checks.
    pub(super) async fn end(self, workers: Vec<Worker>, people: usize) -> Cost {
        self.end_as(workers, &[("sent", people)], people).await
    }

    /// The end of a run: the ledger has so many rows of each status, the relay has an acceptance for each
    /// of those who were `told`, no ack came too early, and the queues are empty once the workers are gone.
    pub(super) async fn end_as(self, workers: Vec<Worker>, rows: &[(&str, usize)], told: usize) -> Cost {
        self.all_acked().await;
        let memory = workers.iter().map(Worker::peak_memory).max().unwrap_or(0);
        for worker in workers {
            worker.stop().await;
        }
        self.watch.assert_right();
        let rows = rows.iter().filter(|(_, count)| *count > 0);
        let rows = rows.map(|&(status, count)| (status.to_owned(), i64::try_from(count).expect("few")));
        assert_eq!(self.db.counts(), rows.collect());
        let copies = surplus(&self.smtp, told);
        let left = self.rabbit.ready(&self.rabbit.broker.queue).await;
        assert_eq!(left, Some(0), "left in the queue");
        self.judge_letters().await;
        // Nothing is ready, dead or in a hand, so all that was published must have been acked.
        let (acks, published) = (self.watch.acks(), self.rabbit.published());
        assert!(acks > 0, "no ack was seen");
        assert!(acks >= published, "{published} published, {acks} acked");
        self.rabbit.clean().await;
        Cost { copies, memory }
    }

    /// Waits until all that was published was acked.
    pub(super) async fn all_acked(&self) {
        let published = self.published.lock().expect("no panic").clone();
        until("an ack for each message", LIMIT, async || {
            let all = published.iter().all(|id| self.watch.has_acked(id));
            (all && self.watch.acks() >= published.len()).then_some(())
        })
        .await;
    }

    /// A fault may double a dead letter, and never loses one.
    async fn judge_letters(&self) {
        let refused = self.refused.lock().expect("no panic").clone();
        let (mut seen, mut count) = (BTreeSet::new(), 0);
        while let Some(letter) = self.rabbit.take(&self.rabbit.dead()).await {
            let id = letter.properties.message_id().as_ref();
            seen.insert(id.map(ToString::to_string).unwrap_or_default());
            count += 1;
        }
        assert_eq!(seen, refused, "dead letters");
        assert!(count <= 2 * refused.len(), "{count} dead letters");
    }
}
