//! `herald dead-letters`, on letters that a worker wrote and on such as nobody knows.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::Utc;
use herald::config::Config;
use herald::consumer::Queue;
use herald::domain::DispatchId;
use herald::repository::{Database, Reopened, reopen_dead};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::command::Shell;
use crate::support::database::{Kind, TestDatabase};
use crate::support::proxy;
use crate::support::rabbit::{self, Rabbit};
use crate::support::smtp::{Action, At, Options};
use crate::support::stage::Stage;
use crate::support::until;

const LIMIT: Duration = Duration::from_secs(30);
const NOT_UTF8: &[u8] = b"{\"type\": \"UPDATED\",\n\x1b[31m\xff\0}";

fn shell(db: &TestDatabase, rabbit: &Rabbit) -> Shell {
    Shell::new()
        .set("DATABASE_URL", db.url())
        .set("LAVINMQ_URL", rabbit::address())
        .set("LAVINMQ_QUEUE", &rabbit.broker.queue)
}

fn named(id: &str) -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(id.into())
}

fn headers(entries: &[(&str, &str)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), AMQPValue::LongString((*value).into()));
    }
    table
}

async fn wait_letters(rabbit: &Rabbit, count: u32) {
    let dead = rabbit.dead();
    until(&format!("{count} dead letters"), LIMIT, async || {
        (rabbit.ready(&dead).await == Some(count)).then_some(())
    })
    .await;
}

async fn listed(shell: &Shell, arguments: &[&str]) -> Vec<Value> {
    let arguments = [&["dead-letters", "list", "--json"], arguments].concat();
    let said = shell.herald(&arguments).await.done();
    serde_json::from_str(&said).expect("JSON")
}

fn column(letters: &[Value], name: &str) -> Vec<Value> {
    letters.iter().map(|letter| letter[name].clone()).collect()
}

/// A worker's letters, in this order: `invalid-json`, `unknown-type` (without id), `invalid-field`,
/// `message-id-conflict`; behind them one that somebody else put there.
async fn with_letters(stage: &Stage) {
    let rabbit = &stage.rabbit;
    stage.db.add_people(7, 2);
    stage.db.add_people(8, 3);
    let trace = headers(&[("trace", "t-1")]);
    rabbit
        .publish(NOT_UTF8, named("bad-json").with_headers(trace))
        .await;
    wait_letters(rabbit, 1).await;
    let unknown = json!({"type": "UPSERTED"}).to_string();
    rabbit
        .publish(unknown.as_bytes(), BasicProperties::default())
        .await;
    wait_letters(rabbit, 2).await;
    rabbit
        .send_as("bad-field", &json!({"type": "UPDATED", "event_id": "7"}))
        .await;
    wait_letters(rabbit, 3).await;
    rabbit
        .send_as("twice", &json!({"type": "UPDATED", "event_id": 7}))
        .await;
    stage.db.wait_closed().await;
    rabbit
        .send_as("twice", &json!({"type": "UPDATED", "event_id": 8}))
        .await;
    wait_letters(rabbit, 4).await;
    rabbit
        .publish_to(
            &rabbit.dead(),
            b"\x80 anything",
            BasicProperties::default().with_priority(3),
        )
        .await;
    wait_letters(rabbit, 5).await;
}

#[tokio::test]
async fn letters_are_listed_and_dropped() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let worker = stage.settings().start().await;
    with_letters(&stage).await;
    let shell = shell(&stage.db, &stage.rabbit);
    let dead = stage.rabbit.dead();

    let letters = listed(&shell, &[]).await;
    assert_eq!(
        column(&letters, "reason"),
        [
            json!("invalid-json"),
            json!("unknown-type"),
            json!("invalid-field"),
            json!("message-id-conflict"),
            Value::Null
        ]
    );
    assert_eq!(
        column(&letters, "message_id"),
        [
            json!("bad-json"),
            Value::Null,
            json!("bad-field"),
            json!("twice"),
            Value::Null
        ]
    );
    assert_eq!(letters[0]["bytes"], NOT_UTF8.len());
    assert_eq!(letters[0]["body"], "{\"type\": \"UPDATED\", [31m\u{fffd} }");
    assert_eq!(letters[0]["error"], "the body is not UTF-8 at byte 25");
    let at = letters[2]["dead_at"].as_str().expect("a time");
    assert!(chrono::DateTime::parse_from_rfc3339(at).is_ok(), "{at}");
    let told = letters[2]["error"].as_str().expect("an explanation");
    assert!(told.starts_with("event_id: is a string"), "{told}");
    assert_eq!(letters[3]["dispatch_id"], stage.db.dispatch().id);
    assert_eq!(letters[4]["body"], "\u{fffd} anything");
    assert_eq!(letters[4]["attempts"], Value::Null);
    assert_eq!(
        listed(&shell, &["--reason", "invalid-field"]).await,
        letters[2..3],
        "looking took something away"
    );
    assert_eq!(listed(&shell, &[]).await, letters, "looking changed something");

    let first = Queue::Amqp(stage.rabbit.broker.clone())
        .letters(None, 3)
        .await
        .expect("a listing");
    assert_eq!((first.letters.len(), first.looked, first.there), (3, 3, 5));

    let text = shell.herald(&["dead-letters", "list"]).await.done();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.last(), Some(&&*format!("5 dead letters in {dead}.")));
    assert!(
        lines.contains(&format!("{at}  invalid-field        bad-field").as_str()),
        "{text}"
    );
    assert!(
        lines.contains(&"  error     the body is not UTF-8 at byte 25"),
        "{text}"
    );
    assert!(text.contains("(no reason)"), "{text}");

    let drop = ["dead-letters", "drop", "--reason", "invalid-field"];
    let said = shell.herald(&drop).await.done();
    assert_eq!(said, "1 dead letter dropped, 4 left alone.\n");
    let mut left = letters.clone();
    left.remove(2);
    assert_eq!(listed(&shell, &[]).await, left);
    let said = shell.herald(&drop).await.done();
    assert_eq!(said, "no dead letter dropped, 4 left alone.\n");
    let said = shell.herald(&["dead-letters", "drop"]).await.done();
    assert_eq!(said, "4 dead letters dropped, 0 left alone.\n");
    let said = shell.herald(&["dead-letters", "list"]).await.done();
    assert_eq!(said, format!("no dead letter in {dead}.\n"));
    assert_eq!(listed(&shell, &[]).await, [Value::Null; 0]);
    stage.end(worker).await;
}

#[tokio::test]
async fn a_replayed_letter_is_served_or_comes_back() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let worker = stage.settings().start().await;
    with_letters(&stage).await;
    let shell = shell(&stage.db, &stage.rabbit);
    let before = listed(&shell, &[]).await;
    let replay = async |reason: &str| {
        let arguments = ["dead-letters", "replay", "--reason", reason];
        shell.herald(&arguments).await.done()
    };

    let said = replay("message-id-conflict").await;
    assert_eq!(said, "1 dead letter replayed, 4 left alone.\n");
    let dispatches = stage.db.wait_dispatches(2, &["completed"]).await;
    let ids: BTreeSet<_> = dispatches.iter().filter_map(|d| d.message_id.clone()).collect();
    assert!(ids.len() == 2 && ids.contains("twice"), "{ids:?}");
    assert_eq!(stage.smtp.messages().len(), 5);

    let said = replay("invalid-json").await;
    assert_eq!(said, "1 dead letter replayed, 3 left alone.\n");
    wait_letters(&stage.rabbit, 4).await;
    let after = listed(&shell, &[]).await;
    let order = [
        json!("unknown-type"),
        json!("invalid-field"),
        Value::Null,
        json!("invalid-json"),
    ];
    assert_eq!(column(&after, "reason"), order);
    assert_ne!(after[3]["dead_at"], before[0]["dead_at"]);

    for _ in 0..3 {
        stage.rabbit.wait_dead().await;
    }
    let letter = stage.rabbit.wait_dead().await;
    assert_eq!(letter.data, NOT_UTF8);
    let properties = &letter.properties;
    assert_eq!(
        properties.message_id().as_ref().map(ShortString::as_str),
        Some("bad-json")
    );
    let table = properties.headers().as_ref().expect("headers");
    assert_eq!(
        table.inner().get("trace"),
        Some(&AMQPValue::LongString("t-1".into()))
    );
    stage.end(worker).await;
}

#[tokio::test]
async fn a_replay_needs_no_worker_and_keeps_what_the_publisher_said() {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let (dead, queue) = (rabbit.dead(), rabbit.broker.queue.clone());
    rabbit.declare(&dead, true, FieldTable::default()).await;
    let ours = headers(&[
        ("x-herald-reason", "invalid-field"),
        ("x-herald-error", "event_id: is missing"),
        ("x-herald-dispatch", "nonsense"),
        ("trace", "t-1"),
    ]);
    let written = BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/json".into())
        .with_correlation_id("c-1".into());
    rabbit
        .publish_to(&dead, NOT_UTF8, written.clone().with_headers(ours))
        .await;
    rabbit.publish_to(&dead, b"", BasicProperties::default()).await;
    assert_eq!(rabbit.ready(&queue).await, None);

    let said = shell(&db, &rabbit)
        .herald(&["dead-letters", "replay"])
        .await
        .done();
    assert_eq!(said, "2 dead letters replayed, 0 left alone.\n");
    let first = rabbit.take(&queue).await.expect("the first letter");
    assert_eq!(first.data, NOT_UTF8);
    assert_eq!(
        first.properties,
        written.with_headers(headers(&[("trace", "t-1")]))
    );
    assert!(!first.redelivered);
    let second = rabbit.take(&queue).await.expect("the second letter");
    assert!(second.data.is_empty());
    assert_eq!(
        second.properties,
        BasicProperties::default().with_delivery_mode(2)
    );
    assert_eq!(rabbit.ready(&dead).await, Some(0));
    rabbit.clean().await;
}

#[tokio::test]
async fn what_the_main_queue_refuses_stays() {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let (dead, queue) = (rabbit.dead(), rabbit.broker.queue.clone());
    rabbit.declare(&dead, true, FieldTable::default()).await;
    let mut full = headers(&[("x-overflow", "reject-publish")]);
    full.insert("x-max-length".into(), AMQPValue::LongLongInt(1));
    rabbit.declare(&queue, true, full).await;
    for id in ["a", "b", "c"] {
        rabbit.publish_to(&dead, id.as_bytes(), named(id)).await;
    }
    let shell = shell(&db, &rabbit);
    let said = shell.herald(&["dead-letters", "replay"]).await;
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(
        said.err.contains("the broker refused to store the message"),
        "{said:#?}"
    );
    assert!(said.err.contains("1 dead letter replayed"), "{said:#?}");
    assert_eq!(rabbit.take(&queue).await.expect("the first one").data, b"a");
    assert_eq!(
        column(&listed(&shell, &[]).await, "message_id"),
        [json!("b"), json!("c")]
    );
    rabbit.clean().await;
}

#[tokio::test]
async fn a_killed_replay_loses_nothing() {
    const LETTERS: u32 = 1500;
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let (dead, queue) = (rabbit.dead(), rabbit.broker.queue.clone());
    rabbit.declare(&dead, true, FieldTable::default()).await;
    rabbit.declare(&queue, true, FieldTable::default()).await;
    for n in 0..LETTERS {
        // Every other one is not asked for, and held while the command looks at the rest.
        let reason = ["invalid-json", "invalid-field"][n as usize % 2];
        let ours = headers(&[("x-herald-reason", reason)]);
        let properties = BasicProperties::default().with_headers(ours);
        rabbit
            .publish_to(&dead, n.to_string().as_bytes(), properties)
            .await;
    }
    let arguments = ["dead-letters", "replay", "--reason", "invalid-json"];
    let mut replay = shell(&db, &rabbit).start(&arguments);
    until("a replay under way", LIMIT, async || {
        rabbit.ready(&queue).await.filter(|n| *n > 20)
    })
    .await;
    replay.kill9();
    let said = replay.said().await;
    assert_eq!(said.code, None, "the replay was over too early: {said:#?}");
    until("the end of its connection", LIMIT, async || {
        let total = rabbit.ready(&queue).await? + rabbit.ready(&dead).await?;
        (total >= LETTERS).then_some(())
    })
    .await;
    let (mut found, mut copies) = (BTreeSet::new(), 0);
    for name in [&queue, &dead] {
        while let Some(letter) = rabbit.take(name).await {
            copies += u32::from(!found.insert(letter.data.clone()));
        }
    }
    let all: BTreeSet<_> = (0..LETTERS).map(|n| n.to_string().into_bytes()).collect();
    assert_eq!(found, all);
    assert!(copies <= 1, "{copies} letters are there twice");
    rabbit.clean().await;
}

#[tokio::test]
async fn a_queue_that_counts_deliveries_is_warned_of() {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let dead = rabbit.dead();
    let quorum = headers(&[("x-queue-type", "quorum")]);
    rabbit.declare(&dead, true, quorum).await;
    for id in ["a", "b"] {
        rabbit.publish_to(&dead, b"{}", named(id)).await;
    }
    let shell = shell(&db, &rabbit);
    let list = async || shell.herald(&["dead-letters", "list", "--json"]).await;
    let first = list().await;
    assert_eq!(first.err, "");
    let second = list().await;
    assert_eq!(second.err.matches("counts each look").count(), 1, "{second:#?}");
    assert_eq!(second.out, first.out);
    rabbit.delete(&dead).await;
}

#[tokio::test]
async fn without_letters_or_broker() {
    let rabbit = Rabbit::new().await;
    let shell = Shell::new()
        .set("LAVINMQ_URL", rabbit::address())
        .set("LAVINMQ_QUEUE", &rabbit.broker.queue);
    let dead = rabbit.dead();
    let said = shell.herald(&["dead-letters", "list"]).await.done();
    assert_eq!(said, format!("no dead letter in {dead}.\n"));
    let said = shell.herald(&["dead-letters", "drop"]).await.done();
    assert_eq!(said, "no dead letter dropped, 0 left alone.\n");
    let said = shell.herald(&["dead-letters", "replay"]).await.done();
    assert_eq!(said, "no dead letter replayed, 0 left alone.\n");
    assert_eq!(rabbit.ready(&dead).await, None, "a queue was created");

    let nobody = format!("127.0.0.1:{}", proxy::free_port());
    let shell = shell.set("LAVINMQ_URL", format!("amqp://guest:s3cret@{nobody}/%2f"));
    for command in ["list", "drop", "replay"] {
        let said = shell.herald(&["dead-letters", command]).await;
        assert_eq!(said.code, Some(1), "{command}: {said:#?}");
        assert_eq!(said.err.lines().count(), 1, "{command}: {said:#?}");
        let shown = format!("amqp://{nobody}/");
        assert!(said.err.starts_with(&shown), "{command}: {said:#?}");
        assert!(said.err.contains("refused"), "{command}: {said:#?}");
        assert!(!said.all().contains("s3cret"), "{command}");
    }
}

#[tokio::test]
async fn arguments_are_checked() {
    let shell = Shell::new();
    for command in ["list", "drop", "replay"] {
        let said = shell
            .herald(&["dead-letters", command, "--reason", "nonsense"])
            .await;
        assert_eq!(said.code, Some(2), "{command}: {said:#?}");
        for known in ["invalid-json", "unknown-type", "too-large", "exhausted"] {
            assert!(said.err.contains(known), "{command}: {said:#?}");
        }
        let help = shell.herald(&["dead-letters", command, "--help"]).await.done();
        assert!(help.contains("message-id-conflict"), "{help}");
    }
    assert_eq!(shell.herald(&["dead-letters"]).await.code, Some(2));
}

/// Nobody can be told, so the dispatch ends as `failed`.
async fn failed(kind: Kind) -> Stage {
    let options = Options::default().at(At::Rcpt, Action::Reply("550 5.1.1 nobody"));
    let stage = Stage::new(kind, options).await;
    stage.db.add_people(7, 2);
    stage
}

#[rstest]
#[tokio::test]
async fn a_dead_dispatch_is_reopened_once(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let stage = failed(kind).await;
    let worker = stage.settings().start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7}))
        .await;
    let dispatch = stage.db.wait_closed().await;
    assert_eq!(dispatch.status, "failed");
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 8}))
        .await;
    let both = stage.db.wait_dispatches(2, &["failed", "completed"]).await;
    let completed = both
        .iter()
        .find(|d| d.status == "completed")
        .expect("nobody to tell");
    let other = completed.id.clone();
    let id = dispatch.id.clone();
    worker.stop().await;
    let (db, now) = (ledger(&stage.db), Utc::now().naive_utc());
    let reopen = async |id: DispatchId| {
        db.write(move |conn| reopen_dead(conn, id, now))
            .await
            .expect("an answer")
    };
    let at_once = [
        reopen(id.parse().expect("its id")),
        reopen(id.parse().expect("its id")),
    ];
    let mut answers = futures_util::future::join_all(at_once).await;
    answers.sort_by_key(|a| *a != Reopened::Now);
    assert_eq!(answers, [Reopened::Now, Reopened::NotDead]);
    let seen = stage.db.dispatches();
    let reopened = seen.iter().find(|d| d.id == id).expect("it is there");
    assert_eq!((reopened.status.as_str(), reopened.closed_at), ("waiting", None));
    assert!(reopened.due_at.is_some());
    assert_eq!(stage.db.count("failed"), 2);
    assert_eq!(reopen(other.parse().expect("its id")).await, Reopened::NotDead);
    assert_eq!(reopen(DispatchId::generate()).await, Reopened::NotFound);
    let untouched = stage.db.dispatches();
    assert!(untouched.iter().any(|d| d.id == other && d.status == "completed"));
    stage.rabbit.clean().await;
}

fn ledger(db: &TestDatabase) -> Database {
    let config = Config::from_lookup(&|name| (name == "DATABASE_URL").then(|| db.url().to_owned()));
    Database::new(&config.expect("a configuration").database).expect("a database")
}

#[rstest]
#[case::named(Some("m-1"), Some("m-2"), 1)]
#[case::anonymous(None, None, 0)]
#[tokio::test]
async fn an_exhausted_letter_reopens_its_dispatch(
    #[case] id: Option<&str>,
    #[case] other: Option<&str>,
    #[case] copies: u32,
) {
    let stage = failed(Kind::Sqlite).await;
    let (dead, queue) = (stage.rabbit.dead(), &stage.rabbit.broker.queue);
    let body = json!({"type": "UPDATED", "event_id": 7}).to_string();
    let properties = |id: Option<&str>| id.map_or_else(BasicProperties::default, named);
    let letter = |id, dispatch: &str| {
        let ours = [("x-herald-reason", "exhausted"), ("x-herald-dispatch", dispatch)];
        properties(id).with_headers(headers(&ours))
    };
    let shell = shell(&stage.db, &stage.rabbit);
    let replay = async || {
        let arguments = ["dead-letters", "replay", "--reason", "exhausted"];
        let said = shell.herald(&arguments).await.done();
        assert_eq!(said, "1 dead letter replayed, 0 left alone.\n");
    };
    let worker = stage.settings().start().await;
    stage.rabbit.publish(body.as_bytes(), properties(id)).await;
    let dispatch = stage.db.wait_closed().await;
    worker.stop().await;

    let dead_letter = letter(id, &dispatch.id);
    stage.rabbit.publish_to(&dead, body.as_bytes(), dead_letter).await;
    replay().await;
    assert_eq!(stage.db.dispatch().status, "waiting");
    assert_eq!(
        stage.rabbit.ready(queue).await,
        Some(copies),
        "copies of the message"
    );
    let worker = stage.settings().start().await;
    assert_eq!(stage.db.wait_closed().await.id, dispatch.id);
    stage.rabbit.wait_counts(0, 0).await;
    assert_eq!(stage.db.dispatches().len(), 1, "a second dispatch of one message");

    // Of a dispatch that the ledger does not know, the queue has the only copy.
    let unknown = letter(other, &DispatchId::generate().to_string());
    stage.rabbit.publish_to(&dead, body.as_bytes(), unknown).await;
    replay().await;
    stage.db.wait_dispatches(2, &["failed"]).await;
    stage.end(worker).await;
}
