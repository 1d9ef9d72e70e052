//! Messages and dead letters in the HTTP API.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::database::Kind;
use crate::support::smtp::Options;
use crate::support::stage::Stage;
use crate::support::until;
use crate::support::worker::Worker;

const LIMIT: Duration = Duration::from_secs(30);

async fn published(worker: &Worker, body: &str, key: Option<&str>) -> (u16, Value) {
    let mut request = reqwest::Client::new()
        .post(worker.url("/api/v1/messages"))
        .header("content-type", "application/json; charset=utf-8")
        .body(body.to_owned());
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

#[tokio::test]
async fn messages_are_checked_and_published() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    stage.db.add_people(1, 3);
    let worker = stage.settings().start().await;
    for (body, status, field) in [
        (r#"{"type": "UPDATED", "event_id": "1"}"#, 422, json!("event_id")),
        (r#"{"type": "UPDATED"}"#, 422, json!("event_id")),
        (r#"{"type": "UPSERTED"}"#, 422, json!("type")),
        (
            r#"{"type": "UPDATED", "event_id": 1, "changes": [{"field": "a"}, {"field": 1}]}"#,
            422,
            json!("changes[1].field"),
        ),
        (r#"{"type": "UPDATED", "event_id": 1"#, 400, Value::Null),
        (r"[]", 400, Value::Null),
    ] {
        let (seen, problem) = published(&worker, body, None).await;
        assert_eq!((seen, &problem["field"]), (status, &field), "{body}: {problem}");
    }
    for size in [1_100_000, 1_200_000] {
        let large = format!(r#"{{"type": "{}"}}"#, "x".repeat(size));
        let (status, problem) = published(&worker, &large, None).await;
        assert_eq!((status, &problem["type"]), (413, &json!("urn:herald:too-large")));
    }
    assert_eq!(stage.rabbit.ready(&stage.rabbit.dead()).await.unwrap_or(0), 0);

    let body = r#"{"type": "UPDATED", "event_id": 1}"#;
    let (status, answer) = published(&worker, body, None).await;
    assert_eq!(status, 202);
    let id = answer["message_id"].as_str().expect("an id").to_owned();
    assert!(id.parse::<uuid::Uuid>().is_ok(), "{id}");
    let closed = stage.db.wait_closed().await;
    assert_eq!(closed.message_id.as_deref(), Some(id.as_str()));

    for _ in 0..2 {
        let sent = published(&worker, body, Some("order-7/mail")).await;
        assert_eq!(sent, (202, json!({"message_id": "order-7/mail"})));
    }
    stage.db.wait_dispatches(2, &["completed"]).await;
    let other = r#"{"type": "CREATED", "event_id": 1}"#;
    assert_eq!(published(&worker, other, Some("order-7/mail")).await.0, 202);
    until("a letter about the key", LIMIT, async || {
        let letters = worker.json("/api/v1/dead-letters").await;
        (letters["items"][0]["reason"] == "message-id-conflict").then_some(())
    })
    .await;
    assert_eq!(stage.db.dispatches().len(), 2);
    assert_eq!(stage.smtp.messages().len(), 6, "each key once");
    stage.end(worker).await;
}

#[tokio::test]
async fn without_a_queue_nothing_is_accepted() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let worker = stage.settings().start().await;
    let queue = stage.rabbit.broker.queue.clone();
    // The worker declares it again after a moment; meanwhile the broker returns what is published.
    let mut refused = None;
    for _ in 0..50 {
        stage.rabbit.delete(&queue).await;
        let (status, answer) = published(&worker, r#"{"type": "UPDATED", "event_id": 1}"#, None).await;
        if status == 503 {
            refused = Some(answer);
            break;
        }
    }
    let problem = refused.expect("a queue that is gone");
    assert_eq!(problem["type"], "urn:herald:broker", "{problem}");
    until("the queue", LIMIT, async || stage.rabbit.ready(&queue).await).await;
    stage.end(worker).await;
}

/// The texts under `key` of a page.
fn of(list: &Value, key: &str) -> Vec<String> {
    let items = list["items"].as_array().expect("a list").iter();
    items
        .map(|item| item[key].as_str().unwrap_or("?").to_owned())
        .collect()
}

/// A worker with five letters about a field and one about the type, and how it lists them.
async fn with_letters() -> (Stage, Worker, Value) {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let worker = stage.settings().start().await;
    let empty = worker.json("/api/v1/dead-letters").await;
    assert_eq!(
        empty,
        json!({"items": [], "page": 1, "page_size": 20, "total": 0})
    );
    for n in 0..5 {
        let message = json!({"type": "UPDATED", "event_id": format!("{n}")});
        stage.rabbit.send_as(&format!("field-{n}"), &message).await;
    }
    stage.rabbit.send_as("type", &json!({"type": "UPSERTED"})).await;
    let all = until("six letters", LIMIT, async || {
        let list = worker.json("/api/v1/dead-letters").await;
        (list["total"] == 6).then_some(list)
    })
    .await;
    (stage, worker, all)
}

#[tokio::test]
async fn dead_letters_are_seen() {
    let (stage, worker, all) = with_letters().await;
    let ids = of(&all, "message_id");
    assert_eq!(ids.len(), 6);
    let known = worker.json("/api/v1/dead-letters?reason=unknown-type").await;
    assert_eq!(
        (&known["total"], of(&known, "message_id")),
        (&json!(1), vec!["type".to_owned()])
    );
    let letter = &known["items"][0];
    assert_eq!(
        (
            &letter["attempts"],
            &letter["dispatch_id"],
            &letter["bytes"],
            &letter["body"]
        ),
        (
            &json!(0),
            &Value::Null,
            &json!(19),
            &json!(r#"{"type":"UPSERTED"}"#)
        )
    );
    assert!(
        letter["error"].as_str().is_some_and(|e| e.starts_with("type: ")),
        "{letter}"
    );
    let mut paged = Vec::new();
    for page in 1..=4 {
        let list = worker
            .json(&format!("/api/v1/dead-letters?page={page}&page_size=2"))
            .await;
        assert_eq!(list["total"], 6);
        paged.extend(of(&list, "message_id"));
    }
    assert_eq!(paged, ids, "each page shows the next ones, and takes none away");
    let looks = (0..8).map(|_| worker.json("/api/v1/dead-letters"));
    for seen in futures_util::future::join_all(looks).await {
        assert_eq!(
            of(&seen, "message_id"),
            ids,
            "looks do not hide letters from each other"
        );
    }
    assert_eq!(
        worker.get("/api/v1/dead-letters?reason=bored").await.status(),
        400
    );
    stage.end(worker).await;
}

#[tokio::test]
async fn dead_letters_are_replayed_and_dropped() {
    let (stage, worker, _) = with_letters().await;
    let answer = worker
        .post("/api/v1/dead-letters/replay", &json!({"reason": "unknown-type"}))
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.json::<Value>().await.expect("JSON"),
        json!({"replayed": 1, "left": 5})
    );
    until("the letter is back", LIMIT, async || {
        (worker.json("/api/v1/dead-letters").await["total"] == 6).then_some(())
    })
    .await;
    let answer = worker
        .post("/api/v1/dead-letters/drop", &json!({"reason": "invalid-field"}))
        .await;
    assert_eq!(
        answer.json::<Value>().await.expect("JSON"),
        json!({"dropped": 5, "left": 1})
    );
    let answer = worker.post_nothing("/api/v1/dead-letters/drop").await;
    assert_eq!(
        answer.json::<Value>().await.expect("JSON"),
        json!({"dropped": 1, "left": 0})
    );
    for (body, field) in [
        (json!({"reason": "bored"}), "reason"),
        (json!({"reason": 1}), "reason"),
        (json!({"reasons": null}), "reasons"),
    ] {
        let answer = worker.post("/api/v1/dead-letters/drop", &body).await;
        assert_eq!(answer.status(), 400, "{body}");
        assert_eq!(answer.json::<Value>().await.expect("JSON")["field"], field);
    }
    stage.end(worker).await;
}
