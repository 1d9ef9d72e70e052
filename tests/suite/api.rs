//! The HTTP API of a running worker.

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::database::Kind;
use crate::support::smtp::Options;
use crate::support::stage::Stage;
use crate::support::worker::Worker;

async fn json(worker: &Worker, path: &str) -> Value {
    let answer = worker.get(path).await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.expect("JSON")
}

/// Asks for what must be refused: its status and its problem.
async fn problem(worker: &Worker, path: &str) -> (u16, Value) {
    let answer = worker.get(path).await;
    let status = answer.status().as_u16();
    assert_eq!(
        answer.headers()["content-type"],
        "application/problem+json",
        "{path}"
    );
    let problem: Value = answer.json().await.expect("JSON");
    assert_eq!(problem["status"], status, "{path}");
    assert!(
        problem["title"].is_string() && problem["type"].is_string(),
        "{path}: {problem}"
    );
    (status, problem)
}

/// Two dispatches: 25 people and one impossible address, then 3 people of a tenant and one who has
/// unsubscribed.
async fn filled(kind: Kind) -> (Stage, Worker) {
    let stage = Stage::new(kind, Options::default()).await;
    stage.db.add_people(1, 25);
    stage.db.add(1, &[("nobody", "Nobody")]);
    stage.db.add_numbered(2, "person", 3);
    stage.db.add(2, &[("gone@bücher.example", "Gone")]);
    stage
        .db
        .execute("UPDATE participants SET unsubscribed_at = CURRENT_TIMESTAMP WHERE name = 'Gone'");
    let worker = stage.settings().start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 1}))
        .await;
    stage.db.wait_dispatches(1, &["partial"]).await;
    stage
        .rabbit
        .send(&json!({"type": "CANCELLED", "event_id": 2, "tenant_id": "acme"}))
        .await;
    stage.db.wait_dispatches(2, &["partial", "completed"]).await;
    (stage, worker)
}

#[rstest]
#[tokio::test]
async fn notifications_by_filter_and_page(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let (stage, worker) = filled(kind).await;
    let dispatches = stage.db.dispatches();
    let (first, second) = (&dispatches[0].id, &dispatches[1].id);
    let one = format!("dispatch_id={first}");
    let both =
        format!("dispatch_id={second}&status=sent&type=CANCELLED&tenant_id=acme&event_id=2&channel=email");
    let totals = [
        ("", 30),
        ("status=sent", 28),
        ("status=failed", 1),
        ("status=suppressed", 1),
        ("status=deferred", 0),
        ("channel=email", 30),
        ("type=UPDATED", 26),
        ("type=CANCELLED", 4),
        ("event_id=1", 26),
        ("event_id=3", 0),
        ("tenant_id=acme", 4),
        ("order_id=ORD-7", 0),
        ("recipient=person1%40example.com", 2),
        ("recipient=person1%40EXAMPLE.com", 2),
        ("recipient=Person1%40example.com", 0),
        ("recipient=gone%40b%C3%BCcher.example", 1),
        ("recipient=nobody", 1),
        (&one, 26),
        (&both, 3),
    ];
    for (query, total) in totals {
        let list = json(&worker, &format!("/api/v1/notifications?page_size=100&{query}")).await;
        assert_eq!(list["total"], total, "{query}");
        assert_eq!(
            list["items"].as_array().map(Vec::len),
            usize::try_from(total).ok(),
            "{query}"
        );
    }

    let mut ids = Vec::new();
    for (page, count) in [(1, 12), (2, 12), (3, 6), (4, 0)] {
        let list = json(
            &worker,
            &format!("/api/v1/notifications?page={page}&page_size=12"),
        )
        .await;
        assert_eq!(
            (&list["page"], &list["page_size"], &list["total"]),
            (&json!(page), &json!(12), &json!(30))
        );
        let items = list["items"].as_array().expect("a list");
        assert_eq!(items.len(), count);
        ids.extend(items.iter().filter_map(|item| item["id"].as_i64()));
    }
    assert_eq!(ids.len(), 30);
    assert!(
        ids.is_sorted_by(|newer, older| newer > older),
        "newest first: {ids:?}"
    );
    let default = json(&worker, "/api/v1/notifications").await;
    assert_eq!((&default["page"], &default["page_size"]), (&json!(1), &json!(20)));
    assert_eq!(default["items"].as_array().map(Vec::len), Some(20));
    stage.end(worker).await;
}

#[rstest]
#[tokio::test]
async fn one_notification(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let (stage, worker) = filled(kind).await;
    let row = stage
        .db
        .rows()
        .into_iter()
        .find(|row| row.to() == "person1@example.com")
        .expect("a row");
    let seen = json(&worker, &format!("/api/v1/notifications/{}", row.id)).await;
    let known = json!({
        "id": row.id, "dispatch_id": row.dispatch_id, "type": "UPDATED", "tenant_id": null, "event_id": 1,
        "order_id": null, "channel": "email", "recipient": "person1@example.com", "status": "sent",
        "attempts": 1, "error": null, "message_id": row.message_id, "next_attempt_at": null,
    });
    for (key, value) in known.as_object().expect("an object") {
        assert_eq!(&seen[key], value, "{key}");
    }
    assert!(
        seen["subject"]
            .as_str()
            .is_some_and(|subject| subject.contains("Event #1")),
        "{seen}"
    );
    for key in ["created_at", "updated_at", "sent_at"] {
        let at = seen[key].as_str().unwrap_or_default();
        assert!(
            at.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(at).is_ok(),
            "{key}: {at}"
        );
    }
    assert_eq!(seen.as_object().map(serde_json::Map::len), Some(17), "{seen}");
    let failed = json(&worker, "/api/v1/notifications?status=failed").await;
    let failed = &failed["items"][0];
    assert_eq!(
        (&failed["recipient"], &failed["attempts"]),
        (&json!("nobody"), &json!(0))
    );
    assert_eq!(
        (&failed["error"], &failed["sent_at"]),
        (&json!("the address has no @"), &json!(null))
    );
    stage.end(worker).await;
}

#[tokio::test]
async fn what_is_wrong_is_refused() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let worker = stage.settings().start().await;
    let health = json(&worker, "/health").await;
    assert_eq!(
        health,
        json!({"status": "ok", "checks": {"broker": "ok", "database": "ok"}})
    );
    assert_eq!(json(&worker, "/health/live").await["status"], "ok");
    for (query, field) in [
        ("status=nope", "status"),
        ("channel=fax", "channel"),
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page_size=101", "page_size"),
        ("page_size=x", "page_size"),
        ("event_id=0", "event_id"),
        ("event_id=9223372036854775808", "event_id"),
        ("dispatch_id=7", "dispatch_id"),
        ("tenant_id=..%2F..", "tenant_id"),
        ("sort=id", "sort"),
        ("page=1&page=1", "page"),
    ] {
        let (status, problem) = problem(&worker, &format!("/api/v1/notifications?{query}")).await;
        assert_eq!((status, &problem["field"]), (400, &json!(field)), "{query}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with(field), "{query}: {detail}");
    }
    for path in [
        "/api/v1/notifications/1",
        "/api/v1/notifications/0",
        "/api/v1/notifications/x",
        "/api/v1/nothing",
        "/x",
    ] {
        assert_eq!(problem(&worker, path).await.0, 404, "{path}");
    }
    stage.end(worker).await;
}

#[tokio::test]
async fn the_token_is_required_where_it_is_set() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let worker = stage.settings().set("API_TOKEN", "s3cret-token").start().await;
    for path in ["/health", "/health/live"] {
        assert_eq!(worker.get(path).await.status(), 200, "{path}");
    }
    let client = reqwest::Client::new();
    for path in [
        "/api/v1/notifications",
        "/api/v1/notifications/1",
        "/api/v1/notifications?page=0",
    ] {
        assert_eq!(problem(&worker, path).await.0, 401, "{path}");
        let wrong = [
            "Bearer wrong",
            "Bearer s3cret-toke",
            "Bearer s3cret-token2",
            "Basic s3cret-token",
            "s3cret-token",
            "Bearer ",
        ];
        for given in wrong {
            let answer = client
                .get(worker.url(path))
                .header("authorization", given)
                .send()
                .await
                .expect("an answer");
            assert_eq!(answer.status(), 401, "{path} with {given:?}");
            assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        }
    }
    let request = client
        .get(worker.url("/api/v1/notifications"))
        .bearer_auth("s3cret-token");
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    assert!(!worker.log().contains("s3cret"), "the token is in the log");
    stage.end(worker).await;
}
