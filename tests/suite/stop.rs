//! SIGTERM: what is under way may finish, nothing is sent twice, the next worker does the rest.

use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::json;

use crate::support::database::{Kind, TestDatabase};
use crate::support::mailed::{everybody_once, slow_relay};
use crate::support::rabbit::Rabbit;
use crate::support::smtp::{Action, At, Options, SmtpServer};
use crate::support::until;
use crate::support::worker::{Settings, Worker};

const PEOPLE: usize = 400;
const LIMIT: Duration = Duration::from_secs(30);

async fn publish(db: &TestDatabase, rabbit: &Rabbit, people: usize) {
    db.add_people(7, people);
    rabbit.send(&json!({"type": "UPDATED", "event_id": 7})).await;
}

/// SIGTERM, the end with exit code 0, and how long that took.
async fn terminate(worker: &mut Worker, limit: Duration) -> Duration {
    let begun = Instant::now();
    worker.sigterm();
    let status = worker.wait_exit(limit).await;
    assert_eq!(status.code(), Some(0));
    assert!(!worker.log().contains("panicked"));
    begun.elapsed()
}

#[rstest]
#[tokio::test]
async fn no_copies(
    #[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind,
    #[values(1, 150)] after: usize,
) {
    let (db, rabbit) = (TestDatabase::new(kind), Rabbit::new().await);
    let smtp = slow_relay(Duration::from_millis(30)).await;
    let settings = Settings::new(&db, &rabbit)
        .relay(&smtp)
        .set("BATCH_SIZE", 50)
        .set("SHUTDOWN_GRACE", 20);
    let mut worker = settings.start().await;
    publish(&db, &rabbit, PEOPLE).await;
    smtp.wait_for(after, LIMIT).await;
    terminate(&mut worker, Duration::from_secs(20)).await;

    let taken = smtp.messages().len();
    assert!((after..PEOPLE).contains(&taken), "{taken}: not in mid-run");
    assert_eq!(
        db.count("sent"),
        i64::try_from(taken).unwrap(),
        "ledger and relay agree"
    );
    let dispatch = db.dispatch();
    assert_eq!(
        (dispatch.status.as_str(), dispatch.lease_token),
        ("running", None)
    );
    rabbit.wait_ready(1).await;

    let worker = settings.start().await;
    assert_eq!(db.wait_closed().await.status, "completed");
    worker.stop().await;
    everybody_once(&smtp, PEOPLE);
    assert_eq!(db.count("sent"), 400);
    assert!(db.rows().iter().all(|row| row.attempts == 1));
    rabbit.wait_ready(0).await;
    rabbit.clean().await;
}

#[tokio::test]
async fn again_and_again() {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let smtp = slow_relay(Duration::from_millis(30)).await;
    let settings = Settings::new(&db, &rabbit).relay(&smtp);
    db.add_people(7, PEOPLE);
    let mut worker = settings.start().await;
    rabbit.send(&json!({"type": "UPDATED", "event_id": 7})).await;
    for after in [30, 100, 200, 300] {
        smtp.wait_for(after, LIMIT).await;
        terminate(&mut worker, LIMIT).await;
        worker = settings.start().await;
    }
    assert_eq!(db.wait_closed().await.status, "completed");
    worker.stop().await;
    everybody_once(&smtp, PEOPLE);
    rabbit.clean().await;
}

#[rstest]
#[tokio::test]
async fn while_idle(#[values("TERM", "INT")] signal: &str) {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let mut worker = Settings::new(&db, &rabbit).start().await;
    worker.signal(signal);
    let status = worker.wait_exit(Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(0));
    assert!(worker.log().contains("Herald has stopped"));
    rabbit.clean().await;
}

/// The relay takes the e-mail and never says so.
#[tokio::test]
async fn silence_after_the_dot_is_unknown() {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let smtp = SmtpServer::start(Options::default().at(At::Dot, Action::AcceptAndHang)).await;
    let settings = Settings::new(&db, &rabbit)
        .relay(&smtp)
        .set("SMTP_CONNECTIONS", 3)
        .set("RETRY_SCHEDULE", "5m")
        .set("SHUTDOWN_GRACE", 1);
    let mut worker = settings.start().await;
    publish(&db, &rabbit, 8).await;
    smtp.wait_for(3, LIMIT).await;
    let took = terminate(&mut worker, Duration::from_secs(6)).await;
    assert!(took >= Duration::from_secs(1), "the grace is given: {took:?}");
    assert_eq!((db.count("unknown"), db.count("pending")), (3, 5));
    for row in db.rows().iter().filter(|row| row.status == "unknown") {
        assert!(row.next_attempt_at.is_some() && row.attempts == 1, "{row:?}");
        assert!(row.reason().contains("stopped before the reply"), "{row:?}");
    }

    // Those of unknown fate wait for their time, the others are told now; the ledger owns the rest.
    let well = SmtpServer::start(Options::default()).await;
    let worker = settings.clone().relay(&well).start().await;
    db.wait_dispatches(1, &["waiting"]).await;
    rabbit.wait_counts(0, 0).await;
    worker.stop().await;
    assert_eq!((db.count("unknown"), db.count("sent")), (3, 5));
    everybody_once(&well, 5);
    rabbit.clean().await;
}

/// Nothing was handed over, so nobody is charged.
#[tokio::test]
async fn silence_before_the_dot_is_nothing() {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let smtp = SmtpServer::start(Options::default().at(At::Data, Action::Hang)).await;
    let settings = Settings::new(&db, &rabbit).relay(&smtp).set("SHUTDOWN_GRACE", 1);
    let mut worker = settings.start().await;
    publish(&db, &rabbit, 8).await;
    until("DATA", LIMIT, async || {
        smtp.commands()
            .iter()
            .any(|(_, line)| line == "DATA")
            .then_some(())
    })
    .await;
    terminate(&mut worker, Duration::from_secs(6)).await;
    assert!(
        db.rows()
            .iter()
            .all(|row| row.status == "pending" && row.attempts == 0)
    );
    rabbit.wait_ready(1).await;

    let well = SmtpServer::start(Options::default()).await;
    let worker = settings.clone().relay(&well).start().await;
    db.wait_closed().await;
    worker.stop().await;
    everybody_once(&well, 8);
    rabbit.clean().await;
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let smtp = SmtpServer::start(Options::default().at(At::Dot, Action::AcceptAndHang)).await;
    let settings = Settings::new(&db, &rabbit)
        .relay(&smtp)
        .set("SMTP_CONNECTIONS", 1)
        .set("SHUTDOWN_GRACE", "10m");
    let mut worker = settings.start().await;
    publish(&db, &rabbit, 2).await;
    smtp.wait_for(1, LIMIT).await;
    worker.sigterm();
    until("the first signal is heeded", LIMIT, async || {
        worker.log().contains("stopping: work in flight").then_some(())
    })
    .await;
    worker.sigterm();
    worker.wait_exit(Duration::from_secs(5)).await;
    assert!(worker.log().contains("second signal"));
    // Not silently pending: it may have arrived.
    assert_eq!((db.count("unknown"), db.count("pending")), (1, 1));
    rabbit.wait_ready(1).await;
    rabbit.clean().await;
}

/// A retry that is minutes away does not hold up the stop, and its time is kept.
#[tokio::test]
async fn a_retry_to_come_is_left_to_the_next_worker() {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let smtp = SmtpServer::start(Options::default()).await;
    let settings = Settings::new(&db, &rabbit).relay(&smtp).set("RETRY_DELAY", 300);
    db.add_numbered(7, "temp", 1);
    let mut worker = settings.start().await;
    rabbit.send(&json!({"type": "UPDATED", "event_id": 7})).await;
    until("the first attempt", LIMIT, async || {
        let rows = db.rows();
        rows.first().filter(|row| row.attempts == 1).map(|_| ())
    })
    .await;
    terminate(&mut worker, Duration::from_secs(5)).await;
    let row = db.row("temp0@example.com");
    assert_eq!(row.status, "pending");
    assert!(row.next_attempt_at.is_some());
    rabbit.wait_ready(1).await;
    rabbit.clean().await;
}
