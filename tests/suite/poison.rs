//! What ends the process is found, and costs nobody else anything: a row in quarantine, a message after
//! five starts. The process is ended from outside, at the very moment when it asks about a recipient.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable};
use rstest::rstest;
use serde_json::json;

use crate::support::database::{Kind, TestDatabase};
use crate::support::mailed::surplus;
use crate::support::notices::Topic;
use crate::support::rabbit::{Rabbit, header};
use crate::support::smtp::{Action, At, Options, SmtpServer};
use crate::support::until;
use crate::support::worker::{Settings, Worker};

const LIMIT: Duration = Duration::from_mins(1);

/// A queue that is there before the first worker.
async fn declared() -> Rabbit {
    let rabbit = Rabbit::new().await;
    rabbit
        .declare(&rabbit.broker.queue, true, FieldTable::default())
        .await;
    rabbit
}

/// Kills the process of this number the moment a recipient beginning so is named to the relay.
fn deadly(prefix: &'static str, victim: &Arc<AtomicU32>) -> Options {
    let victim = Arc::clone(victim);
    Options::default().script(move |event| {
        if event.at != At::Rcpt || !event.recipient.starts_with(prefix) {
            return None;
        }
        let id = victim.load(Ordering::SeqCst).to_string();
        Command::new("kill").args(["-9", &id]).status().expect("kill");
        Some(Action::Hang)
    })
}

/// Starts a worker again whenever it ended, until the database says that all is done; returns the last one.
async fn keep_running(settings: &Settings, victim: &AtomicU32, done: impl Fn() -> bool) -> Worker {
    for _ in 0..12 {
        let mut worker = settings.spawn();
        victim.store(worker.id(), Ordering::SeqCst);
        let begun = std::time::Instant::now();
        loop {
            if done() {
                return worker;
            }
            if worker.has_ended() {
                break;
            }
            assert!(begun.elapsed() < LIMIT, "neither done nor ended");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        worker.wait_exit(LIMIT).await;
    }
    panic!("still not done after twelve starts");
}

#[rstest]
#[tokio::test]
async fn a_row_that_ends_the_process_fails_alone(
    #[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind,
) {
    let (db, rabbit) = (TestDatabase::new(kind), declared().await);
    let victim = Arc::new(AtomicU32::new(0));
    let smtp = SmtpServer::start(deadly("deadly", &victim)).await;
    db.add(7, &[("deadly@example.com", "D")]);
    db.add_people(7, 40);
    db.add_numbered(8, "neighbour", 30);
    let settings = Settings::new(&db, &rabbit)
        .relay(&smtp)
        .set("IN_FLIGHT", 8)
        .set("SMTP_CONNECTIONS", 4)
        .set("LEASE", 2);
    rabbit.send(&json!({"type": "UPDATED", "event_id": 7})).await;
    rabbit.send(&json!({"type": "UPDATED", "event_id": 8})).await;
    let closed = || {
        let dispatches = db.dispatches();
        dispatches.len() == 2 && dispatches.iter().all(|d| d.closed_at.is_some())
    };
    let worker = keep_running(&settings, &victim, closed).await;
    let row = db.row("deadly@example.com");
    assert_eq!(row.status, "failed");
    assert_eq!(row.reason(), "the worker ended twice while it handed this over");
    assert_eq!(db.count("sent"), 70);
    let status = |event| {
        db.dispatches()
            .into_iter()
            .find(|d| d.event_id == Some(event))
            .unwrap()
            .status
    };
    assert_eq!((status(7).as_str(), status(8).as_str()), ("partial", "completed"));
    // Each crash may repeat what was in flight.
    assert!(surplus(&smtp, 70) <= 8 * 12);
    worker.stop().await;
    assert_eq!(rabbit.ready(&rabbit.broker.queue).await, Some(0));
    assert_eq!(
        rabbit.ready(&rabbit.dead()).await,
        Some(0),
        "nobody counted as poison"
    );
    rabbit.clean().await;
}

#[tokio::test]
async fn a_message_that_ends_the_process_is_dead_lettered() {
    let (db, rabbit) = (TestDatabase::new(Kind::Sqlite), declared().await);
    let smtp = SmtpServer::start(Options::default().at(At::Greeting, Action::Hang)).await;
    db.add_people(7, 3);
    let topic = Topic::new().await;
    let settings = Settings::new(&db, &rabbit)
        .relay(&smtp)
        .set("LEASE", 2)
        .set("COMPLETIONS_EXCHANGE", &topic.exchange);
    let body = json!({"type": "UPDATED", "event_id": 7});
    rabbit.send(&body).await;
    for _ in 0..5 {
        let mut worker = settings.start().await;
        until("the start", LIMIT, async || {
            worker.log().contains("dispatch started").then_some(())
        })
        .await;
        worker.kill9();
    }
    let worker = settings.start().await;
    let letter = rabbit.wait_dead().await;
    assert_eq!(letter.delivery.data, body.to_string().as_bytes());
    assert_eq!(header(&letter, "x-herald-reason").as_deref(), Some("exhausted"));
    let dispatch = db.dispatch();
    assert_eq!(dispatch.status, "failed");
    assert_eq!(header(&letter, "x-herald-dispatch"), Some(dispatch.id));
    let attempts = letter
        .properties
        .headers()
        .as_ref()
        .and_then(|h| h.inner().get("x-herald-attempts"));
    assert_eq!(attempts, Some(&AMQPValue::LongLongInt(5)));
    assert!(db.rows().iter().all(|row| row.status == "failed"));
    let told = topic.next().await.json();
    let how = (&told["metadata"]["status"], &told["metadata"]["failed"]);
    assert_eq!(how, (&json!("failed"), &json!(db.rows().len())));
    db.wait_completed().await;
    topic.remove().await;
    worker.stop().await;
    assert_eq!(rabbit.ready(&rabbit.broker.queue).await, Some(0));
    rabbit.clean().await;
}

#[rstest]
#[tokio::test]
async fn held_back_rows_are_not_sent_again_after_a_crash(
    #[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind,
) {
    let (db, rabbit) = (TestDatabase::new(kind), declared().await);
    let victim = Arc::new(AtomicU32::new(0));
    let smtp = SmtpServer::start(deadly("person20@", &victim)).await;
    db.add_people(7, 40);
    let settings = Settings::new(&db, &rabbit)
        .relay(&smtp)
        .set("ON_UNKNOWN", "hold")
        .set("SMTP_CONNECTIONS", 4)
        .set("LEASE", 2);
    rabbit.send(&json!({"type": "UPDATED", "event_id": 7})).await;
    let closed = || db.dispatches().iter().any(|d| d.closed_at.is_some());
    let worker = keep_running(&settings, &victim, closed).await;
    let unknown = db.count("unknown");
    assert!(
        (1..=4).contains(&unknown),
        "what four connections had in hand: {unknown}"
    );
    assert_eq!(db.row("person20@example.com").status, "unknown");
    assert_eq!(db.count("sent"), 40 - unknown);
    assert_eq!(db.dispatch().status, "partial");
    let told = smtp.messages().len();
    let distinct = crate::support::mailed::by_recipient(smtp.messages()).len();
    assert_eq!(told, distinct, "nobody twice, not even after a crash");
    worker.stop().await;
    rabbit.clean().await;
}
