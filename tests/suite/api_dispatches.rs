//! Dispatches in the HTTP API: lists, details, reasons, and retries that many ask for at once.

use reqwest::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::database::Kind;
use crate::support::smtp::{Action, At, Options};
use crate::support::stage::Stage;
use crate::support::worker::Worker;

const UNKNOWN: &str = "00000000-0000-7000-8000-000000000000";

/// Refuses everybody whose name begins with `bad`, for good.
fn refusing() -> Options {
    Options::default().script(|event| {
        let bad = event.at == At::Rcpt && event.line.contains("<bad");
        bad.then_some(Action::Reply("550 5.1.1 no such user"))
    })
}

/// Three dispatches: 12 people of whom 4 are refused and one is impossible, nobody, and a tenant's 2.
async fn filled(kind: Kind) -> (Stage, Worker) {
    let stage = Stage::new(kind, refusing()).await;
    stage.db.add_people(1, 7);
    stage.db.add_numbered(1, "bad", 4);
    stage.db.add(1, &[("nobody", "Nobody")]);
    stage.db.add_numbered(3, "third", 2);
    let worker = stage.settings().start().await;
    let rabbit = &stage.rabbit;
    let closed = ["completed", "partial"];
    rabbit
        .send_as("first", &json!({"type": "UPDATED", "event_id": 1}))
        .await;
    stage.db.wait_dispatches(1, &closed).await;
    rabbit
        .send_as("second", &json!({"type": "CREATED", "event_id": 2}))
        .await;
    stage.db.wait_dispatches(2, &closed).await;
    rabbit
        .send_as(
            "third",
            &json!({"type": "UPDATED", "event_id": 3, "tenant_id": "acme"}),
        )
        .await;
    stage.db.wait_dispatches(3, &closed).await;
    (stage, worker)
}

#[rstest]
#[tokio::test]
async fn dispatches_by_filter_and_page(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let (stage, worker) = filled(kind).await;
    for (query, total) in [
        ("", 3),
        ("status=completed", 2),
        ("status=partial", 1),
        ("status=paused", 0),
        ("type=UPDATED", 2),
        ("event_id=2", 1),
        ("tenant_id=acme", 1),
        ("message_id=first", 1),
        ("message_id=First", 0),
        (
            "type=UPDATED&event_id=3&tenant_id=acme&message_id=third&status=completed",
            1,
        ),
    ] {
        let list = worker.json(&format!("/api/v1/dispatches?{query}")).await;
        assert_eq!(list["total"], total, "{query}");
        let items = list["items"].as_array().map(Vec::len);
        assert_eq!(items, usize::try_from(total).ok(), "{query}");
    }
    let mut seen = Vec::new();
    for page in 1..=4 {
        let list = worker
            .json(&format!("/api/v1/dispatches?page={page}&page_size=1"))
            .await;
        seen.extend(list["items"][0]["message_id"].as_str().map(str::to_owned));
    }
    assert_eq!(seen, ["third", "second", "first"], "newest first");

    let first = worker.json("/api/v1/dispatches?message_id=first").await["items"][0].clone();
    let id = first["id"].as_str().expect("an id").to_owned();
    let one = worker.json(&format!("/api/v1/dispatches/{id}")).await;
    assert_eq!(
        one, first,
        "a closed dispatch looks the same wherever it is shown"
    );
    let known = json!({
        "type": "UPDATED", "tenant_id": null, "event_id": 1, "order_id": null, "message_id": "first",
        "status": "partial", "counts": {"sent": 7, "failed": 5}, "total": 12, "progress": 1.0, "error": null,
    });
    for (key, value) in known.as_object().expect("an object") {
        assert_eq!(&one[key], value, "{key}");
    }
    assert!(one["rate"].as_f64().is_some_and(|rate| rate > 0.0), "{one}");
    for key in ["created_at", "closed_at"] {
        let at = one[key].as_str().unwrap_or_default();
        assert!(chrono::DateTime::parse_from_rfc3339(at).is_ok(), "{key}: {at}");
    }
    let empty = worker.json("/api/v1/dispatches?message_id=second").await["items"][0].clone();
    assert_eq!(
        (
            &empty["counts"],
            &empty["total"],
            &empty["progress"],
            &empty["rate"]
        ),
        (&json!({}), &json!(0), &json!(1.0), &json!(0.0))
    );

    let reasons = worker.json(&format!("/api/v1/dispatches/{id}/reasons")).await;
    let reasons = reasons["items"].as_array().expect("a list").clone();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert_eq!(reasons[0]["count"], 4);
    assert!(
        reasons[0]["error"]
            .as_str()
            .is_some_and(|e| e.contains("5.1.1 no such user")),
        "{reasons:?}"
    );
    assert_eq!(
        (&reasons[1]["status"], &reasons[1]["error"], &reasons[1]["count"]),
        (&json!("failed"), &json!("the address has no @"), &json!(1))
    );
    let example = reasons[1]["example"].as_i64().expect("an id");
    assert_eq!(example, stage.db.row("nobody").id);
    stage.end(worker).await;
}

#[tokio::test]
async fn what_names_no_dispatch_is_not_found() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let worker = stage.settings().start().await;
    for id in [UNKNOWN, "7", "x", "%FF", "%00"] {
        for path in ["", "/reasons"] {
            let answer = worker.get(&format!("/api/v1/dispatches/{id}{path}")).await;
            assert_eq!(answer.status(), 404, "{id}{path}");
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
        for path in ["retry", "pause", "resume", "cancel"] {
            let answer = worker
                .post_nothing(&format!("/api/v1/dispatches/{id}/{path}"))
                .await;
            assert_eq!(answer.status(), 404, "{id}/{path}");
        }
    }
    for query in ["status=open", "type=a%0ab", "message_id=%00", "id=7", "page=0"] {
        let answer = worker.get(&format!("/api/v1/dispatches?{query}")).await;
        assert_eq!(answer.status(), 400, "{query}");
        let problem: Value = answer.json().await.expect("JSON");
        let (field, _) = query.split_once('=').expect("a pair");
        assert_eq!(problem["field"], field, "{query}");
    }
    // What is closed is not steered.
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 1}))
        .await;
    let id = stage.db.wait_closed().await.id;
    for path in ["pause", "resume", "cancel"] {
        let answer = worker
            .post_nothing(&format!("/api/v1/dispatches/{id}/{path}"))
            .await;
        assert_eq!(answer.status(), 409, "{path}");
    }
    stage.end(worker).await;
}

#[rstest]
#[tokio::test]
async fn of_many_retries_one_counts(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    // The first try is refused, any further one is taken.
    let refused = std::sync::atomic::AtomicBool::new(false);
    let options = Options::default().script(move |event| {
        let first = event.at == At::Rcpt && !refused.swap(true, std::sync::atomic::Ordering::SeqCst);
        first.then_some(Action::Reply("550 5.1.1 not yet"))
    });
    let stage = Stage::new(kind, options).await;
    stage.db.add_people(1, 1);
    let worker = stage.settings().start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 1}))
        .await;
    stage.db.wait_closed().await;
    let row = stage.db.row("person0@example.com");
    assert_eq!(row.status, "failed");

    let url = worker.url(&format!("/api/v1/notifications/retry/{}", row.id));
    let client = reqwest::Client::new();
    let asked = (0..50).map(|_| {
        let request = client.post(&url);
        async move { request.send().await.expect("an answer").status() }
    });
    let answers = futures_util::future::join_all(asked).await;
    let with = |status| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!(
        (with(StatusCode::ACCEPTED), with(StatusCode::CONFLICT)),
        (1, 49),
        "{answers:?}"
    );
    stage.db.wait_count("sent", 1).await;
    stage.db.wait_dispatches(1, &["completed"]).await;
    assert_eq!(stage.smtp.messages().len(), 1, "one e-mail");
    let again = client.post(&url).send().await.expect("an answer");
    assert_eq!(again.status(), 409, "what is sent is not sent again");
    stage.end(worker).await;
}
