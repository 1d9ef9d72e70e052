//! The description of the API is true: each route that it has is there, and answers as it says.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::database::Kind;
use crate::support::smtp::Options;
use crate::support::stage::Stage;

/// Contract and page; what is added has to be added here as well.
const ROUTES: &[(&str, &str)] = &[
    ("get", "/api/v1/completions"),
    ("get", "/api/v1/dead-letters"),
    ("post", "/api/v1/dead-letters/drop"),
    ("post", "/api/v1/dead-letters/replay"),
    ("get", "/api/v1/dispatches"),
    ("get", "/api/v1/dispatches/{id}"),
    ("post", "/api/v1/dispatches/{id}/cancel"),
    ("post", "/api/v1/dispatches/{id}/pause"),
    ("get", "/api/v1/dispatches/{id}/reasons"),
    ("post", "/api/v1/dispatches/{id}/resume"),
    ("post", "/api/v1/dispatches/{id}/retry"),
    ("post", "/api/v1/messages"),
    ("get", "/api/v1/notifications"),
    ("post", "/api/v1/notifications/retry/{id}"),
    ("get", "/api/v1/notifications/{id}"),
    ("get", "/api/v1/relays"),
    ("post", "/api/v1/replays"),
    ("get", "/api/v1/templates"),
    ("get", "/api/v1/templates/{name}"),
    ("get", "/api/v1/tenants"),
    ("get", "/api/v1/tenants/{id}/effective"),
    ("get", "/api/v1/throughput"),
    ("get", "/health"),
    ("get", "/health/live"),
    ("get", "/metrics"),
    ("get", "/openapi.json"),
];

/// The operations as `(method, path, operation)`.
fn operations(described: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = described["paths"].as_object().expect("paths");
    let mut all: Vec<_> = paths
        .iter()
        .flat_map(|(path, item)| {
            let operations = item.as_object().expect("an object").iter();
            operations.map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
        })
        .collect();
    all.sort_by_key(|(method, path, _)| (*path, *method));
    all
}

/// Whether `value` has the properties that the schema requires, and no others.
fn fits(described: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        return fits(described, described.pointer(pointer).expect("a schema"), value);
    }
    let Some(properties) = schema["properties"].as_object() else {
        return true;
    };
    let Some(members) = value.as_object() else {
        return false;
    };
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let complete = required
        .iter()
        .all(|name| members.contains_key(name.as_str().unwrap_or_default()));
    complete
        && members.iter().all(|(name, member)| {
            let Some(property) = properties.get(name) else {
                return false;
            };
            let items = &property["items"];
            let list = member.as_array().filter(|_| items.is_object());
            list.is_none_or(|list| list.iter().all(|item| fits(described, items, item)))
        })
}

#[tokio::test]
async fn each_route_answers_as_it_is_described() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    stage.db.add_people(1, 2);
    stage.db.add(1, &[("nobody", "Nobody")]);
    let worker = stage.settings().start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 1}))
        .await;
    let dispatch = stage.db.wait_closed().await.id;
    let notification = stage.db.row("nobody").id;
    let described = worker.json("/openapi.json").await;
    let operations = operations(&described);
    let listed: Vec<_> = operations
        .iter()
        .map(|(method, path, _)| (*method, *path))
        .collect();
    assert_eq!(listed, ROUTES);
    let client = reqwest::Client::new();
    for (method, path, operation) in operations {
        assert!(operation["summary"].is_string(), "{path}");
        let id = if path.contains("notifications") {
            notification.to_string()
        } else {
            dispatch.clone()
        };
        let id = if path.contains("tenants") { "acme" } else { &id };
        let filled = path.replace("{id}", id).replace("{name}", "updated");
        let verb: Method = method.to_uppercase().parse().expect("a method");
        for wrong in [false, true] {
            let query = if wrong { "?nothing=1" } else { "" };
            let mut request = client.request(verb.clone(), worker.url(&format!("{filled}{query}")));
            if operation["requestBody"].is_object() {
                let body = match path {
                    _ if wrong => json!({"nothing": 1}),
                    "/api/v1/messages" => json!({"type": "UPDATED", "event_id": 2}),
                    _ => json!({}),
                };
                request = request.json(&body);
            }
            let answer = request.send().await.expect("an answer");
            let status = answer.status().as_u16();
            let answered = &operation["responses"][status.to_string()];
            assert!(answered.is_object(), "{method} {path}: {status} is not described");
            let kind = answer
                .headers()
                .get("content-type")
                .map(|k| k.to_str().expect("text").to_owned());
            let Some(kind) = kind else {
                assert!(answered["content"].is_null(), "{path}: {status} has no body");
                continue;
            };
            let schema = &answered["content"][&kind]["schema"];
            assert!(schema.is_object(), "{path}: {status} as {kind} is not described");
            if !kind.contains("json") {
                assert!(!answer.text().await.expect("a text").is_empty(), "{path}");
                continue;
            }
            let value: Value = answer.json().await.expect("JSON");
            assert!(
                fits(&described, schema, &value),
                "{path}: {status}: {value}\n{schema}"
            );
        }
    }
    let ends = ["completed", "partial", "failed", "cancelled"];
    stage.db.wait_dispatches(2, &ends).await;
    stage.end(worker).await;
}

#[tokio::test]
async fn every_described_parameter_is_taken() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let worker = stage.settings().start().await;
    let described = worker.json("/openapi.json").await;
    let mut tried = 0;
    for (method, path, operation) in operations(&described) {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for parameter in parameters.iter().filter(|p| p["in"] == "query") {
            assert_eq!(method, "get", "{path}");
            let name = parameter["name"].as_str().expect("a name");
            let filled = path.replace("{name}", "updated");
            let answer = worker.get(&format!("{filled}?{name}=%00")).await;
            let problem: Value = answer.json().await.expect("JSON");
            assert_eq!(problem["field"], name, "{path}: {problem}");
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert!(!detail.contains("is not a parameter"), "{path}: {detail}");
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
    stage.end(worker).await;
}
