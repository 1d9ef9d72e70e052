//! Others are told of the end of a dispatch: once, whatever the end was, and later where they are away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::command::Shell;
use crate::support::database::{Kind, TestDatabase};
use crate::support::notices::{Sqs, Told, Topic, aws, aws_shell};
use crate::support::rabbit::Rabbit;
use crate::support::smtp::{Action, At, Options};
use crate::support::stage::Stage;
use crate::support::until;
use crate::support::worker::Settings;

const LIMIT: Duration = Duration::from_mins(1);

/// What is said of a dispatch without a bundle, to the byte.
fn expected(id: &str, at: &str, status: &str, (sent, failed): (u64, u64)) -> String {
    format!(
        "{{\"bundle_id\":\"{id}\",\"recipe_id\":\"event.updated\",\"primary_url\":\"herald://events/7\",\
         \"resources_count\":0,\"storage_key\":null,\"completion_timestamp\":\"{at}\",\"metadata\":\
         {{\"source\":\"amqp\",\"run_id\":\"{id}\",\"resources_count\":0,\"status\":\"{status}\",\
         \"sent\":{sent},\"failed\":{failed}}}}}"
    )
}

/// When the dispatch was closed, as the notice says it.
fn closed_at(db: &TestDatabase, id: &str) -> String {
    let dispatch = db.dispatches().into_iter().find(|d| d.id == id);
    let at = dispatch.and_then(|d| d.closed_at).expect("it is closed");
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn check_sqs(told: &Told, id: &str, at: &str) {
    let attributes = [
        ("bundle_id", id),
        ("completion_timestamp", at),
        ("recipe_id", "event.updated"),
    ];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(told.attributes, attributes.into());
}

fn check_exchange(told: &Told, id: &str) {
    let properties = [
        ("content_type", "application/json"),
        ("delivery_mode", "2"),
        ("message_id", id),
        ("routing_key", "event.updated"),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(told.attributes, properties.into());
}

fn message() -> Value {
    json!({"type": "UPDATED", "event_id": 7})
}

#[rstest]
#[tokio::test]
async fn both_targets_are_told(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let (db, rabbit, sqs, topic) = (
        TestDatabase::new(kind),
        Rabbit::new().await,
        Sqs::new().await,
        Topic::new().await,
    );
    db.add_people(7, 3);
    let worker = aws(Settings::new(&db, &rabbit))
        .set("OC_SQS_QUEUE_URL", &sqs.url)
        .set("COMPLETIONS_EXCHANGE", &topic.exchange)
        .start()
        .await;
    rabbit.send(&message()).await;
    let (one, two) = (sqs.next().await, topic.next().await);
    let id = db.dispatch().id;
    let at = closed_at(&db, &id);
    assert_eq!(one.body, expected(&id, &at, "completed", (3, 0)));
    assert_eq!(two.body, one.body);
    check_sqs(&one, &id, &at);
    check_exchange(&two, &id);
    db.wait_completed().await;
    assert_eq!((sqs.take().await, topic.take().await), (Vec::new(), None));
    until("it is counted", LIMIT, async || {
        let text = worker.get("/metrics").await.text().await.ok()?;
        let lines = [
            "herald_completions_total{result=\"noticed\"} 1",
            "herald_completions_pending 0",
        ];
        lines.iter().all(|line| text.contains(line)).then_some(())
    })
    .await;
    worker.stop().await;
    topic.remove().await;
    rabbit.clean().await;
}

/// A FIFO queue gets them in order, and without a target nothing is left to be done.
#[tokio::test]
async fn a_fifo_queue_is_told_and_nobody_may_be() {
    let (db, rabbit, sqs) = (TestDatabase::sqlite(), Rabbit::new().await, Sqs::absent(true));
    sqs.create().await;
    let settings = aws(Settings::new(&db, &rabbit));
    let worker = settings.clone().set("OC_SQS_QUEUE_URL", &sqs.url).start().await;
    let order = json!({"type": "order.created", "order_id": "A/1", "customer": {"email": "a@example.com"}});
    rabbit.send(&order).await;
    let told = sqs.next().await;
    let id = db.dispatch().id;
    let said = told.json();
    assert_eq!(said["primary_url"], "herald://orders/A%2F1");
    assert_eq!(told.attributes["MessageGroupId"], "order.created");
    assert_eq!(told.attributes["MessageDeduplicationId"], id);
    worker.stop().await;
    let worker = settings.start().await;
    rabbit.send(&message()).await;
    db.wait_dispatches(2, &["completed"]).await;
    db.wait_completed().await;
    assert_eq!(sqs.take().await, []);
    worker.stop().await;
    rabbit.clean().await;
}

/// What a retry of a failed row brings is not told again; the bundle alone is finalised anew.
#[rstest]
#[tokio::test]
async fn a_reopened_one_is_told_once(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let mended = Arc::new(AtomicBool::new(false));
    let refusing = Options::default().script({
        let mended = Arc::clone(&mended);
        move |event| {
            let refused = event.at == At::Rcpt
                && event.recipient.starts_with("person1@")
                && !mended.load(Ordering::Relaxed);
            refused.then_some(Action::Reply("550 5.1.1 no such user"))
        }
    });
    let (stage, topic) = (Stage::new(kind, refusing).await, Topic::new().await);
    stage.db.add_people(7, 3);
    let worker = stage
        .settings()
        .set("COMPLETIONS_EXCHANGE", &topic.exchange)
        .start()
        .await;
    stage.rabbit.send(&message()).await;
    let told = topic.next().await;
    let dispatch = stage.db.dispatch();
    let at = closed_at(&stage.db, &dispatch.id);
    assert_eq!(told.body, expected(&dispatch.id, &at, "partial", (2, 1)));
    stage.db.wait_completed().await;

    mended.store(true, Ordering::Relaxed);
    let shell = Shell::new().set("DATABASE_URL", stage.db.url());
    shell.herald(&["retry", "--dispatch", &dispatch.id]).await.done();
    stage.db.wait_dispatches(1, &["completed"]).await;
    stage.db.wait_completed().await;
    assert_eq!(topic.take().await, None, "told again");
    until("the bundle alone was finalised", LIMIT, async || {
        let text = worker.get("/metrics").await.text().await.ok()?;
        text.contains("herald_completions_total{result=\"finalised\"} 1")
            .then_some(())
    })
    .await;
    topic.remove().await;
    stage.end(worker).await;
}

/// Closed by an operator without a worker, and by a relay that takes nobody: both are told after a start.
#[rstest]
#[tokio::test]
async fn ends_of_every_kind_are_told(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let nobody = Options::default().at(At::Rcpt, Action::Reply("550 5.1.1 no such user"));
    let (stage, topic) = (Stage::new(kind, nobody).await, Topic::new().await);
    stage.db.add_people(7, 2);
    let told = stage.settings().set("COMPLETIONS_EXCHANGE", &topic.exchange);
    let worker = told.start().await;
    stage.rabbit.send(&message()).await;
    let failed = topic.next().await;
    let id = stage.db.dispatch().id;
    let at = closed_at(&stage.db, &id);
    assert_eq!(failed.body, expected(&id, &at, "failed", (0, 2)));
    worker.stop().await;

    let closed = stage.settings().set("SMTP_PORT", 1).set("PARK_AFTER", "1s");
    let worker = closed.start().await;
    stage.rabbit.send(&message()).await;
    let parked = |id: &str| {
        let all = stage.db.dispatches();
        all.into_iter().find(|d| d.id != id && d.status == "waiting")
    };
    let waiting = until("a dispatch that waits", LIMIT, async || parked(&id)).await;
    worker.stop().await;
    let shell = Shell::new().set("DATABASE_URL", stage.db.url());
    shell.herald(&["cancel", &waiting.id]).await.done();
    let pending = stage.db.pending();
    let key = format!("sqs_notifications:pending:event.updated:{}", waiting.id);
    assert_eq!(pending, [(key, true, 0, None)]);

    let worker = told.start().await;
    let cancelled = topic.next().await;
    let at = closed_at(&stage.db, &waiting.id);
    assert_eq!(cancelled.body, expected(&waiting.id, &at, "cancelled", (0, 0)));
    stage.db.wait_completed().await;
    topic.remove().await;
    stage.end(worker).await;
}

/// The queue is not there; it is listed as pending, tried again when that is asked for, and told when it comes.
#[rstest]
#[tokio::test]
async fn who_is_away_is_told_later(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let (db, rabbit, sqs, topic) = (
        TestDatabase::new(kind),
        Rabbit::new().await,
        Sqs::absent(false),
        Topic::new().await,
    );
    let settings = aws(Settings::new(&db, &rabbit))
        .set("OC_SQS_QUEUE_URL", &sqs.url)
        .set("COMPLETIONS_EXCHANGE", &topic.exchange);
    let worker = settings.start().await;
    rabbit.send(&message()).await;
    let failed = until("a try that failed", LIMIT, async || {
        let pending = db.pending();
        (pending.first()?.2 > 2).then_some(pending)
    })
    .await;
    let error = failed[0].3.as_deref().expect("why");
    assert!(
        error.starts_with("SQS: ") && error.contains("NonExistentQueue"),
        "{error}"
    );
    let id = db.dispatch().id;
    let listed = worker.json("/api/v1/completions?recipe=event.updated").await;
    assert_eq!((&listed["total"], &listed["page"]), (&json!(1), &json!(1)));
    let item = &listed["items"][0];
    assert_eq!(
        item["key"],
        format!("sqs_notifications:pending:event.updated:{id}")
    );
    assert_eq!(
        (&item["bundle_id"], &item["dispatch_id"]),
        (&json!(id), &json!(id))
    );
    assert_eq!(item["notice"], true);
    let others = worker.json("/api/v1/completions?recipe=order.created").await;
    assert_eq!(others["total"], 0);
    for wrong in ["recipe=UPDATED", "recipes=event.updated", "page=0"] {
        let answer = worker.get(&format!("/api/v1/completions?{wrong}")).await;
        assert_eq!(answer.status(), 400, "{wrong}");
    }
    worker.stop().await;

    let shell = Shell::new().set("DATABASE_URL", db.url());
    let of_it = ["completions", "list", "--json", "--recipe", "event.updated"];
    let said: Value = serde_json::from_str(&shell.herald(&of_it).await.done()).expect("JSON");
    assert_eq!(
        (said.as_array().map(Vec::len), &said[0]["bundle_id"]),
        (Some(1), &json!(id))
    );
    let words = shell.herald(&["completions", "list"]).await.done();
    assert!(
        words.contains(&id) && words.contains("1 completion pending."),
        "{words}"
    );
    let other = ["completions", "list", "--json", "--recipe", "order.created"];
    assert_eq!(shell.herald(&other).await.done().trim(), "[]");
    assert_eq!(
        shell.herald(&["completions", "list", "--recipe", "x"]).await.code,
        Some(2)
    );

    sqs.create().await;
    // Without the command it would be told as well, but later than this test waits.
    db.execute("UPDATE completions SET next_at = created_at, attempts = 20");
    let retry = ["completions", "retry", "--json"];
    let retried: Value = serde_json::from_str(&shell.herald(&retry).await.done()).expect("JSON");
    assert_eq!(retried, json!({"retried": 1}));
    let worker = settings.start().await;
    let (one, two) = (sqs.next().await, topic.next().await);
    assert_eq!((one.bundle(), &one.body), (id, &two.body));
    db.wait_completed().await;
    assert_eq!(
        (sqs.take().await, topic.take().await),
        (Vec::new(), None),
        "told twice"
    );
    worker.stop().await;
    topic.remove().await;
    rabbit.clean().await;
}

/// What was closed before the outbox was there is not told when it is reopened; what was not is.
#[rstest]
#[tokio::test]
async fn an_upgrade_floods_nobody(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let nobody = Options::default().at(At::Rcpt, Action::Reply("550 5.1.1 no such user"));
    let stage = Stage::new(kind, nobody).await;
    stage.db.add_people(7, 2);
    let worker = stage.settings().start().await;
    stage.rabbit.send(&message()).await;
    let old = stage.db.wait_closed().await.id;
    stage.db.wait_completed().await;
    worker.stop().await;
    let away = stage.settings().set("SMTP_PORT", 1).set("PARK_AFTER", "1s");
    let worker = away.start().await;
    stage.rabbit.send(&message()).await;
    let open = until("a dispatch that waits", LIMIT, async || {
        let all = stage.db.dispatches();
        all.into_iter().find(|d| d.id != old && d.status == "waiting")
    })
    .await
    .id;
    worker.stop().await;

    stage.db.execute("DROP TABLE completions");
    stage
        .db
        .execute("ALTER TABLE dispatches DROP COLUMN notice_source");
    stage
        .db
        .execute("DELETE FROM __diesel_schema_migrations WHERE version = '20261126000006'");
    let shell = Shell::new().set("DATABASE_URL", stage.db.url());
    assert!(shell.herald(&["migrate"]).await.done().contains("20261126000006"));
    assert_eq!(stage.db.pending(), []);
    shell.herald(&["retry", "--dispatch", &old]).await.done();
    for id in [&old, &open] {
        shell.herald(&["cancel", id]).await.done();
    }
    let row = |id: &str, notice| {
        let key = format!("sqs_notifications:pending:event.updated:{id}");
        (key, notice, 0, None)
    };
    assert_eq!(stage.db.pending(), [row(&old, false), row(&open, true)]);
    stage.rabbit.clean().await;
}

/// An exchange that is missing is created, and so is one that went while the worker ran.
#[tokio::test]
async fn an_exchange_comes_back() {
    let (db, rabbit, topic) = (TestDatabase::sqlite(), Rabbit::new().await, Topic::new().await);
    let settings = Settings::new(&db, &rabbit).set("COMPLETIONS_EXCHANGE", &topic.exchange);
    let worker = settings.start().await;
    rabbit.send(&message()).await;
    topic.next().await;
    db.wait_completed().await;
    topic.remove().await;
    rabbit.send(&message()).await;
    db.wait_dispatches(2, &["completed"]).await;
    db.wait_completed().await;
    topic.bind().await;
    rabbit.send(&message()).await;
    let last = topic.next().await;
    let newest = db.wait_dispatches(3, &["completed"]).await.pop();
    assert_eq!(Some(last.bundle()), newest.map(|d| d.id));
    worker.stop().await;
    topic.remove().await;
    rabbit.clean().await;
}

/// `herald dispatch` tells by itself, or leaves it to a worker; the message's source stays what it was.
#[tokio::test]
async fn a_command_tells_or_leaves_it() {
    let (db, rabbit, topic) = (TestDatabase::sqlite(), Rabbit::new().await, Topic::new().await);
    db.add_people(7, 2);
    let shell = Shell::new()
        .set("DATABASE_URL", db.url())
        .set("LAVINMQ_URL", rabbit.url())
        .set("COMPLETIONS_EXCHANGE", &topic.exchange);
    let body = message().to_string();
    shell
        .herald_reading(&["dispatch", "-"], body.as_bytes())
        .await
        .done();
    let told = topic.take().await.expect("it was told before the command ended");
    assert_eq!(told.json()["metadata"]["source"], "dispatch");
    assert_eq!(db.pending(), []);

    let away = shell.set("LAVINMQ_URL", "amqp://guest:guest@127.0.0.1:1/");
    let said = away.herald_reading(&["dispatch", "-"], body.as_bytes()).await;
    assert!(said.err.contains("Its completion is pending"), "{said:?}");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(db.pending().len(), 1);
    let worker = Settings::new(&db, &rabbit)
        .set("COMPLETIONS_EXCHANGE", &topic.exchange)
        .start()
        .await;
    assert_eq!(topic.next().await.json()["metadata"]["source"], "dispatch");
    db.wait_completed().await;
    worker.stop().await;
    topic.remove().await;
    rabbit.clean().await;
}

#[tokio::test]
async fn the_doctor_looks_at_targets() {
    let (db, rabbit, sqs, topic) = (
        TestDatabase::sqlite(),
        Rabbit::new().await,
        Sqs::absent(false),
        Topic::new().await,
    );
    let shell = aws_shell(Shell::new())
        .set("DATABASE_URL", db.url())
        .set("LAVINMQ_URL", rabbit.url())
        .set("LAVINMQ_QUEUE", &rabbit.broker.queue)
        .set("OC_SQS_QUEUE_URL", &sqs.url)
        .set("COMPLETIONS_EXCHANGE", &topic.exchange);
    let line = |said: &str, what: &str| {
        let line = said.lines().find(|line| line.contains(what));
        line.expect("a line").to_owned()
    };
    let said = shell.herald(&["doctor"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(line(&said.out, "SQS queue").starts_with("FAIL"), "{said:?}");
    assert!(line(&said.out, &topic.exchange).starts_with("ok"), "{said:?}");
    assert!(!said.all().contains("secret-of-the-test"), "{said:?}");
    sqs.create().await;
    let said = shell.herald(&["doctor"]).await.done();
    assert!(line(&said, "SQS queue").starts_with("ok"), "{said}");
    topic.remove().await;
    rabbit.delete(&rabbit.broker.queue).await;
}
