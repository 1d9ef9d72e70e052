//! What nobody works on is taken up: deferred and unknown notifications at their next time, dispatches
//! whose worker is gone together with their message, and what somebody asks to be retried.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lapin::BasicProperties;
use reqwest::{Client, StatusCode};
use rstest::rstest;
use serde_json::json;

use crate::support::database::{Kind, TestDatabase};
use crate::support::mailed::{by_recipient, slow_relay, surplus};
use crate::support::rabbit::Rabbit;
use crate::support::smtp::{Action, At, Options};
use crate::support::stage::Stage;
use crate::support::until;
use crate::support::worker::Settings;

const LIMIT: Duration = Duration::from_mins(1);

/// `action` at this point for the recipient `hard@example.com`, for the first `times` times.
fn at_first(at: At, times: usize, action: Action) -> Options {
    let seen = AtomicUsize::new(0);
    Options::default().script(move |event| {
        let hit = event.at == at && event.recipient.starts_with("hard");
        (hit && seen.fetch_add(1, Ordering::SeqCst) < times).then(|| action.clone())
    })
}

async fn stage(kind: Kind, options: Options) -> Stage {
    let stage = Stage::new(kind, options).await;
    stage
        .db
        .add(7, &[("hard@example.com", "Hard"), ("easy@example.com", "Easy")]);
    stage
}

async fn publish(stage: &Stage) {
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7}))
        .await;
}

const BUSY: Action = Action::Reply("451 4.3.0 busy");
const NOBODY: Action = Action::Reply("550 5.1.1 nobody");

#[rstest]
#[tokio::test]
async fn deferred_is_sent_at_its_next_time(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let stage = stage(kind, at_first(At::Rcpt, 3, BUSY)).await;
    let settings = stage
        .settings()
        .set("MAX_RETRIES", 0)
        .set("RETRY_SCHEDULE", "1s,1s,1s");
    let mut worker = settings.start().await;
    publish(&stage).await;
    stage.db.wait_count("deferred", 1).await;
    stage.rabbit.wait_counts(0, 0).await;
    // A restart in between changes nothing: the ledger remembers.
    worker.sigterm();
    worker.wait_exit(LIMIT).await;
    let worker = settings.start().await;
    let dispatch = stage.db.wait_closed().await;
    assert_eq!(dispatch.status, "completed");
    let row = stage.db.row("hard@example.com");
    assert_eq!((row.status.as_str(), row.attempts, row.error), ("sent", 4, None));
    assert_eq!(stage.smtp.messages().len(), 2);
    stage.end(worker).await;
}

#[tokio::test]
async fn the_end_of_the_schedule_is_the_end() {
    let stage = stage(Kind::Sqlite, at_first(At::Rcpt, usize::MAX, BUSY)).await;
    let settings = stage
        .settings()
        .set("MAX_RETRIES", 0)
        .set("RETRY_SCHEDULE", "500ms,500ms");
    let worker = settings.start().await;
    publish(&stage).await;
    assert_eq!(stage.db.wait_closed().await.status, "partial");
    let row = stage.db.row("hard@example.com");
    assert_eq!(
        (row.status.as_str(), row.attempts, row.next_attempt_at),
        ("failed", 3, None)
    );
    assert_eq!(row.reason(), "rcpt: 451 4.3.0 busy");
    stage.end(worker).await;
}

#[tokio::test]
async fn unknown_is_sent_again_with_the_same_bytes() {
    let stage = stage(Kind::Sqlite, at_first(At::Dot, 1, Action::AcceptAndClose)).await;
    let settings = stage.settings().set("RETRY_SCHEDULE", "500ms");
    let worker = settings.start().await;
    publish(&stage).await;
    assert_eq!(stage.db.wait_closed().await.status, "completed");
    let row = stage.db.row("hard@example.com");
    assert_eq!((row.status.as_str(), row.attempts), ("sent", 2));
    let copies = &by_recipient(stage.smtp.messages())["hard@example.com"];
    assert_eq!(copies.len(), 2);
    assert_eq!(copies[0].raw, copies[1].raw);
    stage.end(worker).await;
}

#[tokio::test]
async fn held_unknown_waits_for_somebody() {
    let stage = stage(Kind::Sqlite, at_first(At::Dot, 1, Action::AcceptAndClose)).await;
    let settings = stage
        .settings()
        .set("ON_UNKNOWN", "hold")
        .set("RETRY_SCHEDULE", "100ms");
    let worker = settings.start().await;
    publish(&stage).await;
    assert_eq!(stage.db.wait_closed().await.status, "partial");
    let id = stage.db.row("hard@example.com").id;
    let retry = worker.url(&format!("/api/v1/notifications/retry/{id}"));
    let answer = Client::new().post(retry).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    stage.db.wait_count("sent", 2).await;
    assert_eq!(stage.db.wait_closed().await.status, "completed");
    assert_eq!(stage.smtp.messages().len(), 3);
    stage.end(worker).await;
}

#[rstest]
#[tokio::test]
async fn of_fifty_requests_to_retry_one_is_accepted(
    #[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind,
) {
    let stage = stage(kind, at_first(At::Rcpt, 1, NOBODY)).await;
    let worker = stage.settings().start().await;
    publish(&stage).await;
    assert_eq!(stage.db.wait_closed().await.status, "partial");
    let id = stage.db.row("hard@example.com").id;
    let client = Client::new();
    let post = |path: String| {
        let request = client.post(worker.url(&path)).send();
        async { request.await.unwrap().status() }
    };
    let requests = (0..50).map(|_| post(format!("/api/v1/notifications/retry/{id}")));
    let answers = futures_util::future::join_all(requests).await;
    let accepted = answers.iter().filter(|s| **s == StatusCode::ACCEPTED).count();
    let refused = answers.iter().filter(|s| **s == StatusCode::CONFLICT).count();
    assert_eq!((accepted, refused), (1, 49));
    stage.db.wait_count("sent", 2).await;
    assert_eq!(stage.db.wait_closed().await.status, "completed");
    assert_eq!(stage.smtp.messages().len(), 2);
    let dispatch = stage.db.dispatch().id;
    assert_eq!(
        post("/api/v1/notifications/retry/999999".into()).await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        post("/api/v1/notifications/retry/x".into()).await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        post(format!("/api/v1/dispatches/{dispatch}/retry")).await,
        StatusCode::CONFLICT
    );
    stage.end(worker).await;
}

#[tokio::test]
async fn a_dispatch_is_retried_as_a_whole() {
    let refused = Options::default().script({
        let seen = AtomicUsize::new(0);
        move |event| (event.at == At::Rcpt && seen.fetch_add(1, Ordering::SeqCst) < 5).then_some(NOBODY)
    });
    let stage = Stage::new(Kind::Sqlite, refused).await;
    stage.db.add_people(7, 5);
    let worker = stage.settings().start().await;
    publish(&stage).await;
    let failed = stage.db.wait_closed().await;
    assert_eq!(failed.status, "failed");
    let retry = worker.url(&format!("/api/v1/dispatches/{}/retry", failed.id));
    let answer = Client::new().post(retry).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    stage.db.wait_count("sent", 5).await;
    assert_eq!(stage.db.wait_closed().await.status, "completed");
    stage.end(worker).await;
}

#[rstest]
#[case::named(true)]
#[case::anonymous(false)]
#[tokio::test]
async fn a_dispatch_without_worker_and_message_is_finished(#[case] named: bool) {
    const PEOPLE: usize = 200;
    let (db, rabbit) = (TestDatabase::new(Kind::Postgres), Rabbit::new().await);
    let smtp = slow_relay(Duration::from_millis(30)).await;
    db.add_people(7, PEOPLE);
    let settings = Settings::new(&db, &rabbit)
        .relay(&smtp)
        .set("IN_FLIGHT", 32)
        .set("LEASE", 1);
    let mut first = settings.start().await;
    let message = json!({"type": "UPDATED", "event_id": 7});
    if named {
        rabbit.send(&message).await;
    } else {
        rabbit
            .publish(message.to_string().as_bytes(), BasicProperties::default())
            .await;
    }
    smtp.wait_for(PEOPLE / 4, LIMIT).await;
    first.kill9();
    rabbit.delete(&rabbit.broker.queue).await;
    let second = settings.start().await;
    let dispatch = db.wait_closed().await;
    assert_eq!((dispatch.status.as_str(), dispatch.starts), ("completed", 2));
    assert!(surplus(&smtp, PEOPLE) <= 32);
    until("nothing open", LIMIT, async || {
        (db.count("sent") == 200).then_some(())
    })
    .await;
    second.stop().await;
    rabbit.clean().await;
}

#[rstest]
#[tokio::test]
async fn what_is_old_and_closed_is_removed(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let stage = stage(kind, at_first(At::Rcpt, usize::MAX, BUSY)).await;
    stage.db.add(8, &[("other@example.com", "Other")]);
    let settings = stage.settings().set("MAX_RETRIES", 0).set("RETRY_SCHEDULE", "1h");
    let worker = settings.set("RETENTION", "1s").start().await;
    publish(&stage).await;
    stage
        .rabbit
        .send(&json!({"type": "CREATED", "event_id": 8}))
        .await;
    // What waits is not closed, however old it is.
    until("only the waiting one is left", LIMIT, async || {
        let left = stage.db.dispatches();
        (left.len() == 1 && left[0].status == "waiting").then_some(())
    })
    .await;
    assert!(stage.db.rows().iter().all(|row| row.to() != "other@example.com"));
    assert_eq!(stage.db.rows().len(), 2);
    stage.end(worker).await;
}
