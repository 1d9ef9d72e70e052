//! Tenants, templates, relays and throughput in the HTTP API.

use chrono::{DateTime, Timelike};
use serde_json::{Value, json};

use crate::support::configs::Configs;
use crate::support::database::Kind;
use crate::support::smtp::Options;
use crate::support::stage::Stage;

#[tokio::test]
async fn tenants_are_listed() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let configs = Configs::new();
    configs
        .root(&json!({"enabled": true}))
        .tenant("acme", &json!({"enabled": true}))
        .tenant("blue", &json!({"enabled": false}))
        .tenant("zinc", &json!({"enabled": true, "weight": "heavy"}));
    let worker = configs.of(stage.settings()).start().await;
    let listed = worker.json("/api/v1/tenants").await;
    let items = listed["items"].as_array().expect("a list");
    let seen: Vec<_> = items
        .iter()
        .map(|item| (&item["tenant_id"], &item["state"]))
        .collect();
    assert_eq!(
        seen,
        [
            (&Value::Null, &json!("root")),
            (&json!("acme"), &json!("tenant")),
            (&json!("blue"), &json!("root")),
            (&json!("zinc"), &json!("disabled")),
        ]
    );
    for item in items {
        let bad = item["tenant_id"] == "zinc";
        assert_eq!(item["error"].is_string(), bad, "{item}");
        assert!(
            item["file"].as_str().is_some_and(|f| f.contains(".json")),
            "{item}"
        );
        let Some(id) = item["tenant_id"].as_str() else {
            continue;
        };
        let effective = worker.json(&format!("/api/v1/tenants/{id}/effective")).await;
        for key in ["tenant_id", "state", "file", "error"] {
            assert_eq!(effective[key], item[key], "{id}: {key}");
        }
    }
    stage.end(worker).await;
}

#[tokio::test]
async fn templates_are_shown_through_the_code_that_sends() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let configs = Configs::new();
    let own = configs.folder("acme").join("templates");
    std::fs::create_dir(&own).expect("a folder");
    std::fs::write(own.join("updated.subject.txt"), "Acme says").expect("a file");
    let wrong = configs.folder("zinc").join("templates");
    std::fs::create_dir(&wrong).expect("a folder");
    std::fs::write(wrong.join("updated.subject.txt"), "{{ nothing.here }}").expect("a file");
    let worker = configs.of(stage.settings()).start().await;
    let listed = worker.json("/api/v1/templates").await;
    let items = listed["items"].as_array().expect("a list");
    assert!(
        items.contains(&json!({"name": "updated", "type": "UPDATED"})),
        "{listed}"
    );
    assert!(
        items.contains(&json!({"name": "order_created", "type": "order.created"})),
        "{listed}"
    );
    for item in items {
        let name = item["name"].as_str().expect("a name");
        let shown = worker.json(&format!("/api/v1/templates/{name}")).await;
        assert_eq!(shown["name"], name);
        for (key, part) in [
            ("html", "<html"),
            ("text", "\n"),
            ("eml", "Subject: "),
            ("subject", ""),
        ] {
            assert!(
                shown[key].as_str().is_some_and(|t| t.contains(part)),
                "{name}: {key}"
            );
        }
    }
    let base = worker.json("/api/v1/templates/updated").await;
    let acme = worker.json("/api/v1/templates/updated?tenant_id=acme").await;
    assert_eq!(acme["subject"], "Acme says");
    assert_eq!(acme["text"], base["text"], "file by file");
    for (path, status) in [
        ("/api/v1/templates/nothing", 404),
        ("/api/v1/templates/updated?tenant_id=..", 400),
        ("/api/v1/templates/updated?tenant=acme", 400),
        ("/api/v1/templates/updated?tenant_id=zinc", 409),
    ] {
        let answer = worker.get(path).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    stage.end(worker).await;
}

#[tokio::test]
async fn relays_and_the_last_hour() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let worker = stage.settings().start().await;
    let relays = worker.json("/api/v1/relays").await;
    assert!(relays["items"].is_array(), "{relays}");
    let hour = worker.json("/api/v1/throughput").await;
    let minutes = hour["minutes"].as_array().expect("a list");
    assert_eq!(minutes.len(), 60);
    let times: Vec<_> = minutes
        .iter()
        .map(|m| DateTime::parse_from_rfc3339(m["at"].as_str().unwrap_or_default()).expect("a time"))
        .collect();
    assert!(times.iter().all(|t| t.second() == 0));
    assert!(
        times.windows(2).all(|w| (w[1] - w[0]).num_seconds() == 60),
        "oldest first"
    );
    let now = chrono::Utc::now();
    assert!((now - times[59].to_utc()).num_seconds() <= 120, "{:?}", times[59]);
    assert!(minutes.iter().all(|m| m["sent"].is_u64() && m["failed"].is_u64()));
    stage.end(worker).await;
}
