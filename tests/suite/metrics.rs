//! `/metrics` of a running worker, and the dashboard and alert rules that ask it.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::database::Kind;
use crate::support::smtp::Options;
use crate::support::stage::Stage;
use crate::support::until;
use crate::support::worker::Worker;

async fn text(worker: &Worker) -> String {
    let answer = worker.get("/metrics").await;
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    answer.text().await.unwrap()
}

/// Waits until all of these lines are there.
async fn wait_lines(worker: &Worker, lines: &[&str]) {
    let mut missing = Vec::new();
    let mut last = String::new();
    for _ in 0..150 {
        last = text(worker).await;
        missing = lines
            .iter()
            .filter(|line| !last.lines().any(|l| l == **line))
            .collect();
        if missing.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{missing:#?} are not in\n{last}");
}

/// The names in a text that begin with `herald_`.
fn names(text: &str) -> BTreeSet<&str> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.split(word)
        .filter(|name| name.starts_with("herald_"))
        .collect()
}

fn monitoring(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts/monitoring")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn a_run_in_numbers() {
    let stage = Stage::new(Kind::Postgres, Options::default()).await;
    stage.db.add_people(1, 30);
    stage.db.add(
        1,
        &[
            ("nobody", "Nobody"),
            ("perm@example.com", "Perm"),
            ("gone@example.com", "Gone"),
        ],
    );
    stage
        .db
        .execute("UPDATE participants SET unsubscribed_at = CURRENT_TIMESTAMP WHERE name = 'Gone'");
    let worker = stage.settings().start().await;
    let before = text(&worker).await;
    assert!(
        before.contains("herald_dead_letters_total{reason=\"invalid-json\"} 0"),
        "{before}"
    );
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 1}))
        .await;
    stage.db.wait_dispatches(1, &["partial"]).await;
    stage.rabbit.send(&json!({"type": "pipeline_failure"})).await;
    stage.db.wait_dispatches(2, &["partial", "completed"]).await;
    stage
        .rabbit
        .publish(b"{", lapin::BasicProperties::default())
        .await;
    assert_eq!(worker.get("/api/v1/notifications/7777").await.status(), 404);
    assert_eq!(worker.get("/x/person1@example.com").await.status(), 404);
    let relay = format!("herald_relay_open{{relay=\"127.0.0.1:{}\"}} 1", stage.smtp.port());
    let version = format!("herald_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    let expected = [
        "herald_notifications_total{channel=\"email\",status=\"sent\"} 30",
        "herald_notifications_total{channel=\"email\",status=\"failed\"} 2",
        "herald_notifications_total{channel=\"email\",status=\"suppressed\"} 2",
        "herald_dispatches_total{type=\"UPDATED\",status=\"partial\"} 1",
        "herald_dispatches_total{type=\"pipeline_failure\",status=\"completed\"} 1",
        "herald_delivery_seconds_count 30",
        "herald_smtp_replies_total{code=\"250\"} 30",
        "herald_smtp_replies_total{code=\"550\"} 1",
        "herald_suppressed_total{reason=\"unsubscribed\"} 1",
        "herald_suppressed_total{reason=\"disabled\"} 1",
        "herald_dead_letters_total{reason=\"invalid-json\"} 1",
        "herald_dispatch_open{status=\"running\"} 0",
        "herald_queue_messages 0",
        "herald_in_flight 0",
        "herald_config_invalid 0",
        "herald_websocket_clients 0",
        "herald_http_requests_total{method=\"GET\",route=\"/api/v1/notifications/{id}\",status=\"404\"} 1",
        "herald_http_requests_total{method=\"GET\",route=\"(none)\",status=\"404\"} 1",
        relay.as_str(),
        version.as_str(),
    ];
    wait_lines(&worker, &expected).await;
    let text = text(&worker).await;
    assert!(names(&text).iter().all(|name| name.starts_with("herald_")));
    let samples = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    for sample in samples {
        assert!(sample.starts_with("herald_") && !sample.contains('@'), "{sample}");
    }

    let dashboard: Value = serde_json::from_str(&monitoring("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap());
    let expressions: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    let (dashboard, alerts) = (expressions.join("\n"), monitoring("alerts.yml"));
    let there = names(&text);
    for (file, asked) in [
        ("dashboard.json", names(&dashboard)),
        ("alerts.yml", names(&alerts)),
    ] {
        assert!(asked.len() > 5, "{file}: {asked:?}");
        let missing: Vec<_> = asked.difference(&there).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}");
    }
    stage.end(worker).await;
}

#[tokio::test]
async fn a_token_is_asked_for() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let settings = stage
        .settings()
        .set("API_TOKEN", "s3cret")
        .set("LAVINMQ_PREFETCH", 1);
    let worker = settings.start().await;
    assert_eq!(worker.get("/metrics").await.status(), 401);
    let ask = || {
        let request = reqwest::Client::new().get(worker.url("/metrics"));
        request.bearer_auth("s3cret").send()
    };
    until("the queue's length", Duration::from_secs(20), async || {
        let text = ask().await.unwrap().text().await.unwrap();
        text.contains("herald_queue_messages ").then_some(())
    })
    .await;
    stage.end(worker).await;
}
