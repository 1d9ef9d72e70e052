//! Bodies that nobody can process, and messages that come twice: each is dead-lettered whole and with
//! its reason, or absorbed, and the next good one is still served.

use std::collections::HashMap;

use lapin::BasicProperties;
use rstest::rstest;
use serde_json::json;
use tokio::sync::watch;

use crate::support::database::Kind;
use crate::support::rabbit::header;
use crate::support::smtp::{Action, At, Options};
use crate::support::stage::Stage;

const DEEP: usize = 200_000;

/// Name, body, reason, and how the explanation begins.
type Case = (&'static str, Vec<u8>, &'static str, &'static str);

fn cases() -> Vec<Case> {
    let mut cases = not_one_object();
    let fields = wrong_fields();
    cases.extend(fields.into_iter().map(|(body, error)| {
        let name = Box::leak(format!("field {body}").into_boxed_str());
        (&*name, body.into_bytes(), "invalid-field", error)
    }));
    cases
}

fn not_one_object() -> Vec<Case> {
    let nested = format!(
        r#"{{"type":"UPDATED","event_id":7,"x":{}{}}}"#,
        "[".repeat(DEEP),
        "]".repeat(DEEP)
    );
    let torn = r#"{"a":"#.repeat(DEEP);
    let large = format!(
        r#"{{"type":"UPDATED","event_id":7,"x":"{}"}}"#,
        "x".repeat(1_048_576)
    );
    let bodies: &[(&str, &[u8], &str)] = &[
        ("empty", b"", "the body is empty"),
        ("blank", b" \r\n", "the body is empty"),
        (
            "not UTF-8",
            b"{\"type\":\"UPDATED\",\"event_id\":7,\"x\":\"\xff\"}",
            "the body is not UTF-8",
        ),
        ("NULs", &[0; 100], "expected value"),
        (
            "BOM",
            b"\xef\xbb\xbf{\"type\":\"UPDATED\",\"event_id\":7}",
            "the body begins with a byte order mark",
        ),
        ("UTF-16", b"\xff\xfe{\0}\0", "the body is not UTF-8"),
        ("truncated", br#"{"type":"UPDATED","event_id":7"#, "EOF"),
        ("trailing", br#"{"type":"UPDATED","event_id":7} {}"#, "trailing"),
        (
            "array",
            br#"[{"type":"UPDATED","event_id":7}]"#,
            "the body is an array",
        ),
        ("string", br#""UPDATED""#, "the body is a string"),
        ("null", b"null", "the body is null"),
        ("deep arrays", nested.as_bytes(), "recursion limit exceeded"),
        ("deep and torn", torn.as_bytes(), "recursion limit exceeded"),
        (
            "duplicate key",
            br#"{"type":"UPDATED","event_id":7,"event_id":8}"#,
            "the key `event_id` stands twice",
        ),
        (
            "hidden duplicate",
            br#"{"type":"UPDATED","event_id":7,"event\u005fid":8}"#,
            "the key `event_id` stands twice",
        ),
        (
            "nested duplicate",
            br#"{"type":"UPDATED","event_id":7,"event":{"title":"a","title":"b"}}"#,
            "the key `title` stands twice",
        ),
    ];
    let mut cases: Vec<Case> = bodies
        .iter()
        .map(|(name, body, error)| (*name, body.to_vec(), "invalid-json", *error))
        .collect();
    cases.push((
        "too large",
        large.into_bytes(),
        "too-large",
        "the body has 1048614 bytes",
    ));
    for (name, word, error) in [
        ("unknown type", "UPSERTED", "type: `UPSERTED`"),
        ("lower case type", "updated", "type: `updated`"),
    ] {
        let body = json!({"type": word, "event_id": 7}).to_string();
        cases.push((name, body.into_bytes(), "unknown-type", error));
    }
    cases
}

fn wrong_fields() -> Vec<(String, &'static str)> {
    let mut wrong = vec![
        ("{}".to_owned(), "type: is missing"),
        (r#"{"type":7,"event_id":7}"#.to_owned(), "type: is an integer"),
        (r#"{"type":"UPDATED"}"#.to_owned(), "event_id: is missing"),
    ];
    let ids = [
        "null",
        "\"123\"",
        "7.0",
        "1e3",
        "0",
        "-1",
        "9223372036854775808",
        "-9223372036854775809",
        "true",
        "[7]",
    ];
    wrong.extend(ids.map(|id| (format!(r#"{{"type":"UPDATED","event_id":{id}}}"#), "event_id: ")));
    let tenants = [
        "../../etc/passwd",
        "..",
        "",
        "Acme",
        "acme corp",
        "acme/x",
        "a\\u0000b",
        "notifications",
        "-a",
        "\\u00e4",
    ];
    wrong.extend(tenants.map(|id| {
        (
            format!(r#"{{"type":"UPDATED","event_id":7,"tenant_id":"{id}"}}"#),
            "tenant_id: ",
        )
    }));
    let others = [
        (r#""tenant_id":7"#, "tenant_id: "),
        (r#""version":-1"#, "version: "),
        (r#""event":[]"#, "event: "),
        (r#""event":{"starts_at":"tomorrow"}"#, "event.starts_at: "),
        (r#""event":{"timezone":"Mars/Olympus"}"#, "event.timezone: "),
        (r#""event":{"url":"javascript:alert(1)"}"#, "event.url: "),
        (r#""changes":[{"field":"a"},{"to":"b"}]"#, "changes[1].field: "),
        (
            r#""attachments":[{"url":"https://files.example.com/a"}]"#,
            "attachments[0].name: ",
        ),
    ];
    wrong.extend(
        others.map(|(field, error)| (format!(r#"{{"type":"UPDATED","event_id":7,{field}}}"#), error)),
    );
    wrong
}

#[tokio::test]
async fn each_is_dead_lettered_and_the_next_one_served() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    stage.db.add_people(7, 3);
    let worker = stage.settings().start().await;
    let mut expected = HashMap::new();
    for case in cases() {
        let properties = BasicProperties::default().with_message_id(case.0.into());
        stage.rabbit.publish(&case.1, properties).await;
        assert!(expected.insert(case.0, case).is_none(), "two cases have one name");
    }
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7}))
        .await;
    assert_eq!(stage.db.wait_closed().await.status, "completed");
    assert_eq!(stage.db.count("sent"), 3);

    while !expected.is_empty() {
        let letter = stage.rabbit.wait_dead().await;
        let id = letter
            .properties
            .message_id()
            .clone()
            .expect("the message_id is kept");
        let (name, body, reason, error) = expected.remove(id.as_str()).expect("one dead letter a message");
        assert!(letter.data == body, "{name}: the body is another");
        assert_eq!(
            header(&letter, "x-herald-reason").as_deref(),
            Some(reason),
            "{name}"
        );
        let told = header(&letter, "x-herald-error").expect("an explanation");
        assert!(told.starts_with(error), "{name}: {told}");
        assert!(
            header(&letter, "x-herald-dead-at").is_some_and(|at| at.ends_with('Z')),
            "{name}"
        );
        assert_eq!(header(&letter, "x-herald-dispatch"), None, "{name}");
        assert_eq!(*letter.properties.delivery_mode(), Some(2), "{name}");
    }
    assert_eq!(stage.rabbit.ready(&stage.rabbit.dead()).await, Some(0));
    stage.end(worker).await;
}

#[rstest]
#[tokio::test]
async fn an_id_is_served_once(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let (open, gate) = watch::channel(false);
    let options =
        Options::default().script(move |event| (event.at == At::Dot).then(|| Action::Until(gate.clone())));
    let stage = Stage::new(kind, options).await;
    stage.db.add_people(7, 5);
    stage.db.add_people(8, 5);
    let worker = stage.settings().start().await;
    let body = json!({"type": "UPDATED", "event_id": 7});

    // While the first one is in work …
    stage.rabbit.send_as("twice", &body).await;
    stage.rabbit.send_as("twice", &body).await;
    stage.rabbit.wait_counts(0, 2).await;
    let conflict = json!({"type": "UPDATED", "event_id": 8});
    stage.rabbit.send_as("twice", &conflict).await;
    let early = stage.rabbit.wait_dead().await;
    open.send_replace(true);
    let first = stage.db.wait_closed().await;
    stage.rabbit.wait_counts(0, 0).await;
    // … and when it is done.
    stage.rabbit.send_as("twice", &body).await;
    stage.rabbit.send_as("twice", &conflict).await;
    let late = stage.rabbit.wait_dead().await;

    for letter in [early, late] {
        assert_eq!(letter.data, conflict.to_string().into_bytes());
        assert_eq!(
            header(&letter, "x-herald-reason").as_deref(),
            Some("message-id-conflict")
        );
        assert_eq!(
            header(&letter, "x-herald-dispatch").as_deref(),
            Some(first.id.as_str())
        );
    }
    let (db, smtp) = (&stage.db, &stage.smtp);
    assert_eq!(
        (db.dispatch().status.as_str(), db.dispatch().message_id.as_deref()),
        ("completed", Some("twice"))
    );
    assert_eq!(
        (db.count("sent"), db.rows().len(), smtp.messages().len()),
        (5, 5, 5)
    );
    stage.end(worker).await;
}

#[tokio::test]
async fn equal_messages_without_id_are_two() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    stage.db.add_people(7, 2);
    let worker = stage.settings().start().await;
    let body = json!({"type": "UPDATED", "event_id": 7}).to_string();
    for _ in 0..2 {
        stage
            .rabbit
            .publish(body.as_bytes(), BasicProperties::default())
            .await;
    }
    stage.db.wait_dispatches(2, &["completed"]).await;
    assert_eq!(stage.smtp.messages().len(), 4);
    stage.end(worker).await;
}
