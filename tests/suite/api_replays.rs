//! `POST /api/v1/replays`: what fits goes back to work once, however often and from wherever it is asked for.

use std::time::Duration;

use reqwest::Response;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::database::Kind;
use crate::support::smtp::{Action, At, Options};
use crate::support::stage::Stage;
use crate::support::until;
use crate::support::worker::Worker;

const LIMIT: Duration = Duration::from_secs(30);

/// The parts of an answer.
async fn read(answer: Response) -> (u16, Value) {
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn replay(worker: &Worker, body: &Value) -> (u16, Value) {
    read(worker.post("/api/v1/replays", body).await).await
}

async fn with_key(worker: &Worker, key: &str, body: &Value) -> (u16, Value) {
    let request = reqwest::Client::new()
        .post(worker.url("/api/v1/replays"))
        .header("idempotency-key", key)
        .json(body);
    read(request.send().await.expect("an answer")).await
}

/// Ten people of one dispatch and five of a tenant's, all refused for good.
async fn refused(kind: Kind) -> (Stage, Worker) {
    let options = Options::default().at(At::Rcpt, Action::Reply("550 5.1.1 no such user"));
    let stage = Stage::new(kind, options).await;
    stage.db.add_people(1, 10);
    stage.db.add_numbered(2, "other", 5);
    let worker = stage.settings().start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 1}))
        .await;
    stage.db.wait_dispatches(1, &["failed"]).await;
    let message = json!({"type": "UPDATED", "event_id": 2, "tenant_id": "acme"});
    stage.rabbit.send(&message).await;
    stage.db.wait_dispatches(2, &["failed"]).await;
    (stage, worker)
}

#[rstest]
#[tokio::test]
async fn what_fits_is_replayed_once(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let (stage, worker) = refused(kind).await;
    let ids = stage.db.dispatches();
    let future = "2100-01-01T00:00:00Z";
    for (filter, matched) in [
        (json!({}), 15),
        (json!({"status": "failed"}), 15),
        (json!({"status": "unknown"}), 0),
        (json!({"dispatch_id": ids[0].id}), 10),
        (json!({"tenant_id": "acme"}), 5),
        (json!({"tenant_id": "acme", "dispatch_id": ids[0].id}), 0),
        (json!({"since": future}), 0),
        (json!({"since": "2020-01-01T00:00:00+01:00", "status": null}), 15),
    ] {
        let (status, seen) = replay(&worker, &json!({"filter": filter, "dry_run": true})).await;
        assert_eq!(
            (status, seen),
            (200, json!({"matched": matched, "replayed": 0})),
            "{filter}"
        );
    }
    assert_eq!(stage.db.count("failed"), 15, "a dry run does nothing");

    let other = stage.settings().start().await;
    let body = json!({"filter": {"tenant_id": "acme"}, "limit": 3});
    let (one, two) = tokio::join!(with_key(&worker, "k-1", &body), with_key(&other, "k-1", &body));
    assert_eq!(one, (200, json!({"matched": 5, "replayed": 3})));
    assert_eq!(one, two, "the same answer to both, whichever worker they ask");
    stage.db.wait_dispatches(2, &["failed"]).await;
    let tried = |n: i32| stage.db.rows().iter().filter(|row| row.attempts == n).count();
    until("three tried again", LIMIT, async || {
        (tried(2) == 3 && stage.db.count("failed") == 15).then_some(())
    })
    .await;
    stage.db.wait_dispatches(2, &["failed"]).await;

    assert_eq!(with_key(&other, "k-1", &body).await, one, "also later");
    let swapped = json!({"limit": 3, "filter": {"tenant_id": "acme"}});
    assert_eq!(
        with_key(&worker, "k-1", &swapped).await,
        one,
        "the same body in another order"
    );
    let (status, problem) = with_key(&worker, "k-1", &json!({"limit": 4})).await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:herald:conflict")));
    assert_eq!(tried(2), 3, "nothing was done");

    let (status, seen) = replay(&worker, &json!({"filter": {"dispatch_id": ids[0].id}})).await;
    assert_eq!((status, seen), (200, json!({"matched": 10, "replayed": 10})));
    until("ten more tried again", LIMIT, async || {
        (tried(2) == 13 && stage.db.count("failed") == 15).then_some(())
    })
    .await;
    stage.db.wait_dispatches(2, &["failed"]).await;
    other.stop().await;
    stage.end(worker).await;
}

#[rstest]
#[tokio::test]
async fn of_many_with_one_key_one_is_done(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let (stage, worker) = refused(kind).await;
    let body = json!({});
    let asked = (0..20).map(|_| with_key(&worker, "same", &body));
    let answers = futures_util::future::join_all(asked).await;
    for answer in &answers {
        assert_eq!(answer, &(200, json!({"matched": 15, "replayed": 15})));
    }
    until("all tried again, once", LIMIT, async || {
        let rows = stage.db.rows();
        rows.iter()
            .all(|row| row.attempts == 2 && row.status == "failed")
            .then_some(())
    })
    .await;
    stage.db.wait_dispatches(2, &["failed"]).await;
    stage.end(worker).await;
}

#[tokio::test]
async fn what_is_no_replay_is_refused() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let worker = stage.settings().start().await;
    for (body, field) in [
        (json!({"limit": 0}), "limit"),
        (json!({"filter": {"status": "sent"}}), "filter.status"),
        (json!({"filters": {}}), "filters"),
    ] {
        let (status, problem) = replay(&worker, &body).await;
        assert_eq!((status, &problem["field"]), (400, &json!(field)), "{body}");
        assert_eq!(problem["type"], "urn:herald:bad-body");
    }
    let client = reqwest::Client::new();
    let url = worker.url("/api/v1/replays");
    let json = "application/json";
    for (kind, body, status) in [
        (json, "", 400),
        (json, "[]", 400),
        (json, "{\"limit\": 1", 400),
        ("text/plain", "{}", 415),
        ("application/x-www-form-urlencoded", "limit=1", 415),
    ] {
        let request = client.post(&url).header("content-type", kind).body(body);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{kind} {body}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    let long = "k".repeat(256);
    for key in ["", "two words", "\u{e4}", &long] {
        let (status, problem) = with_key(&worker, key, &json!({})).await;
        assert_eq!(
            (status, &problem["field"]),
            (400, &json!("Idempotency-Key")),
            "{key:?}"
        );
    }
    stage.end(worker).await;
}
