//! SQS as the source: the same job, the same ledger, no AMQP at all.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;

use crate::support::aws::{Sqs, endpoint};
use crate::support::database::{Kind, TestDatabase};
use crate::support::mailed::{everybody_once, slow_relay, surplus};
use crate::support::smtp::{Options, SmtpServer};
use crate::support::trouble::{Mood, Trouble};
use crate::support::until;
use crate::support::worker::Settings;

const LIMIT: Duration = Duration::from_mins(1);

struct Scene {
    db: TestDatabase,
    sqs: Sqs,
    smtp: SmtpServer,
}

impl Scene {
    fn new(sqs: Sqs, smtp: SmtpServer) -> Self {
        let db = TestDatabase::new(Kind::Sqlite);
        Self { db, sqs, smtp }
    }

    async fn with_queue(visibility: &str, smtp: SmtpServer) -> Self {
        let sqs = Sqs::new("").await;
        sqs.create(&[(QueueAttributeName::VisibilityTimeout, visibility)])
            .await;
        Self::new(sqs, smtp)
    }

    fn settings(&self) -> Settings {
        self.sqs.settings(&self.db).relay(&self.smtp)
    }
}

async fn quick() -> SmtpServer {
    SmtpServer::start(Options::default()).await
}

#[tokio::test]
async fn everybody_is_told_once() {
    let scene = Scene::with_queue("30", quick().await).await;
    scene.db.add_people(7, 250);
    let worker = scene.settings().start().await;
    let message = json!({"type": "UPDATED", "event_id": 7});
    scene.sqs.send(&message, Some("m-1")).await;
    let closed = scene.db.wait_closed().await;
    assert_eq!(
        (closed.status.as_str(), closed.message_id.as_deref()),
        ("completed", Some("m-1"))
    );
    // The same id again is the same message.
    scene.sqs.send(&message, Some("m-1")).await;
    scene.sqs.wait_empty().await;
    assert_eq!(scene.db.dispatches().len(), 1);
    everybody_once(&scene.smtp, 250);
    // Without one, SQS's own is it.
    let id = scene
        .sqs
        .send(&json!({"type": "CANCELLED", "event_id": 7}), None)
        .await;
    let all = scene.db.wait_dispatches(2, &["completed"]).await;
    assert!(
        all.iter().any(|d| d.message_id.as_deref() == Some(id.as_str())),
        "{all:?}"
    );
    scene.sqs.wait_empty().await;
    worker.stop().await;
}

#[tokio::test]
async fn what_is_not_ours_is_a_dead_letter() {
    let scene = Scene::with_queue("30", quick().await).await;
    let worker = scene.settings().start().await;
    for (body, reason) in [
        ("not json", "invalid-json"),
        (r#"{"type": "MOVED"}"#, "unknown-type"),
        (r#"{"type": "UPDATED"}"#, "invalid-field"),
    ] {
        scene
            .sqs
            .send_text(body, Some(&format!("m-{reason}")), None)
            .await;
        let letter = scene.sqs.wait_dead(body).await;
        assert_eq!(letter["x-herald-reason"], reason);
        assert_eq!(letter["message_id"], format!("m-{reason}"));
        assert!(letter.contains_key("x-herald-error") && letter.contains_key("x-herald-dead-at"));
    }
    scene.sqs.wait_empty().await;
    worker.stop().await;
}

/// A dispatch of several visibility timeouts is received once and deleted once: a second receipt would move it
/// to another queue, by the queue's own policy.
#[tokio::test]
async fn a_long_dispatch_stays_in_hand() {
    let (sqs, again) = (Sqs::new("").await, Sqs::new("").await);
    sqs.create_once("6", &again).await;
    let scene = Scene::new(sqs, slow_relay(Duration::from_millis(200)).await);
    scene.db.add_people(7, 100);
    let worker = scene.settings().set("SMTP_CONNECTIONS", 1).start().await;
    scene
        .sqs
        .send(&json!({"type": "UPDATED", "event_id": 7}), Some("m-1"))
        .await;
    let begun = std::time::Instant::now();
    let closed = scene.db.wait_closed().await;
    assert!(
        begun.elapsed() > Duration::from_secs(18),
        "too short to prove anything"
    );
    assert_eq!(closed.status, "completed");
    scene.sqs.wait_empty().await;
    again.wait_empty().await;
    assert_eq!(scene.db.dispatch().starts, 1);
    everybody_once(&scene.smtp, 100);
    worker.stop().await;
}

/// The issue's own: ten minutes of work, thirty seconds of visibility.
#[tokio::test]
#[ignore = "takes ten minutes"]
async fn a_dispatch_of_ten_minutes() {
    let (sqs, again) = (Sqs::new("").await, Sqs::new("").await);
    sqs.create_once("30", &again).await;
    let scene = Scene::new(sqs, slow_relay(Duration::from_secs(2)).await);
    scene.db.add_people(7, 300);
    let worker = scene.settings().set("SMTP_CONNECTIONS", 1).start().await;
    scene
        .sqs
        .send(&json!({"type": "UPDATED", "event_id": 7}), Some("m-1"))
        .await;
    until("its end", Duration::from_mins(15), async || {
        (scene.db.count("sent") == 300).then_some(())
    })
    .await;
    scene.db.wait_closed().await;
    scene.sqs.wait_empty().await;
    again.wait_empty().await;
    assert_eq!(scene.db.dispatch().starts, 1);
    everybody_once(&scene.smtp, 300);
    worker.stop().await;
}

#[tokio::test]
async fn a_queue_that_comes_later() {
    let sqs = Sqs::new("").await;
    let scene = Scene::new(sqs, quick().await);
    scene.db.add_people(7, 10);
    let worker = scene.settings().spawn();
    until("the API", LIMIT, async || {
        let answer = reqwest::get(worker.url("/health")).await.ok()?;
        (answer.status() == 503).then_some(())
    })
    .await;
    scene.sqs.create(&[]).await;
    scene
        .sqs
        .send(&json!({"type": "UPDATED", "event_id": 7}), None)
        .await;
    scene.db.wait_closed().await;
    everybody_once(&scene.smtp, 10);
    worker.stop().await;
}

#[tokio::test]
async fn a_crash_in_mid_run() {
    let scene = Scene::with_queue("3", slow_relay(Duration::from_millis(30)).await).await;
    scene.db.add_people(7, 300);
    let settings = scene.settings().set("IN_FLIGHT", 32).set("SMTP_CONNECTIONS", 5);
    let mut first = settings.start().await;
    scene
        .sqs
        .send(&json!({"type": "UPDATED", "event_id": 7}), Some("m-1"))
        .await;
    scene.smtp.wait_for(60, LIMIT).await;
    first.kill9();
    let second = settings.start().await;
    scene.db.wait_closed().await;
    scene.sqs.wait_empty().await;
    assert!(surplus(&scene.smtp, 300) <= 32);
    assert_eq!(scene.db.dispatches().len(), 1);
    second.stop().await;
}

#[tokio::test]
async fn a_fifo_queue() {
    let sqs = Sqs::new(".fifo").await;
    sqs.create(&[(QueueAttributeName::FifoQueue, "true")]).await;
    let scene = Scene::new(sqs, quick().await);
    scene.db.add_people(7, 20);
    let worker = scene.settings().start().await;
    let body = json!({"type": "UPDATED", "event_id": 7}).to_string();
    scene.sqs.send_text(&body, Some("m-1"), Some("group-7")).await;
    scene.db.wait_closed().await;
    scene.sqs.send_text("no json", Some("m-2"), Some("group-7")).await;
    let letter = scene.sqs.wait_dead("no json").await;
    assert_eq!(letter["x-herald-reason"], "invalid-json");
    assert_eq!(letter["group"], "group-7");
    everybody_once(&scene.smtp, 20);
    worker.stop().await;
}

#[tokio::test]
async fn a_queue_for_dead_letters_that_is_deleted() {
    let scene = Scene::with_queue("5", quick().await).await;
    let worker = scene.settings().start().await;
    for body in ["first", "second"] {
        scene.sqs.send_text(body, None, None).await;
        let letter = scene.sqs.wait_dead(body).await;
        assert_eq!(letter["x-herald-reason"], "invalid-json");
        scene.sqs.delete_dead().await;
    }
    scene.sqs.wait_empty().await;
    worker.stop().await;
}

/// SQS fails in mid-run: what is in hand is ended, and deleted when SQS is back.
#[tokio::test]
async fn an_endpoint_that_is_away_for_a_while() {
    let scene = Scene::with_queue("30", slow_relay(Duration::from_millis(20)).await).await;
    let way = Trouble::before(&endpoint(), Mood::Well).await;
    scene.db.add_people(7, 200);
    let settings = scene.settings().set("AWS_ENDPOINT_URL", way.endpoint());
    let worker = settings.set("SMTP_CONNECTIONS", 4).start().await;
    let health = async |status: u16| {
        until("the state of health", LIMIT, async || {
            let answer = reqwest::get(worker.url("/health")).await.ok()?;
            (answer.status() == status).then_some(())
        })
        .await;
    };
    let message = json!({"type": "UPDATED", "event_id": 7});
    scene.sqs.send(&message, Some("m-1")).await;
    scene.smtp.wait_for(20, LIMIT).await;
    way.turn(Mood::Says(500, "<Error/>"));
    health(503).await;
    way.turn(Mood::Well);
    health(200).await;
    scene.db.wait_closed().await;
    scene.sqs.wait_empty().await;
    assert_eq!(scene.db.dispatch().starts, 1);
    everybody_once(&scene.smtp, 200);
    worker.stop().await;
}

/// Two looks would hide letters from each other.
#[tokio::test]
async fn one_look_at_a_time() {
    let scene = Scene::with_queue("30", quick().await).await;
    let way = Trouble::before(&endpoint(), Mood::Well).await;
    let worker = scene
        .settings()
        .set("AWS_ENDPOINT_URL", way.endpoint())
        .start()
        .await;
    way.turn(Mood::Hangs);
    let look = async || worker.get("/api/v1/dead-letters").await.status().as_u16();
    let (one, other) = tokio::join!(look(), look());
    assert_eq!([one.min(other), one.max(other)], [409, 503]);
    way.turn(Mood::Well);
    assert_eq!(look().await, 200);
    worker.stop().await;
}

/// What operators and publishers do, on SQS.
#[tokio::test]
async fn dead_letters_and_messages_by_command_and_api() {
    let scene = Scene::with_queue("30", quick().await).await;
    scene.db.add_people(7, 5);
    let worker = scene.settings().start().await;
    let shell = scene.sqs.shell(&scene.db);
    for n in 0..3 {
        scene
            .sqs
            .send_text("not json", Some(&format!("m-{n}")), None)
            .await;
    }
    scene
        .sqs
        .send_text(r#"{"type": "MOVED"}"#, Some("m-x"), None)
        .await;
    until("four letters", LIMIT, async || {
        let said = shell.herald(&["dead-letters", "list", "--json"]).await;
        let listed: serde_json::Value = serde_json::from_str(&said.out).ok()?;
        (listed.as_array().or(listed["letters"].as_array())?.len() == 4).then_some(())
    })
    .await;
    let api = worker.json("/api/v1/dead-letters?reason=unknown-type").await;
    assert_eq!(
        (api["total"].as_i64(), &api["items"][0]["message_id"]),
        (Some(1), &json!("m-x"))
    );
    let dropped = shell
        .herald(&["dead-letters", "drop", "--reason", "invalid-json"])
        .await;
    assert!(dropped.done().contains('3'));
    let answer = worker.post("/api/v1/dead-letters/replay", &json!({})).await;
    let replayed: serde_json::Value = answer.json().await.expect("JSON");
    assert_eq!(replayed["replayed"], 1, "{replayed}");
    let letter = scene.sqs.wait_dead(r#"{"type": "MOVED"}"#).await;
    assert_eq!(letter["message_id"], "m-x");

    let answer = worker
        .post("/api/v1/messages", &json!({"type": "UPDATED", "event_id": 7}))
        .await;
    assert_eq!(answer.status(), 202);
    scene.db.wait_closed().await;
    let sent = shell
        .send_test_message(&["--type", "CANCELLED", "--event-id", "7"])
        .await;
    sent.done();
    scene.db.wait_dispatches(2, &["completed"]).await;
    let said = shell.herald(&["doctor"]).await;
    assert!(
        said.out.contains(&format!("queue `{}` is there", scene.sqs.name)),
        "{said:?}"
    );
    worker.stop().await;
}
