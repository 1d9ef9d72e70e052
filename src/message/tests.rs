use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::domain::EventId;

const FULL: &str = r#"{"type": "UPDATED", "event_id": 123, "version": 4, "tenant_id": "acme",
 "event": {"title": "Rust Meetup", "starts_at": "2026-12-01T18:00:00+01:00", "ends_at": "2026-12-01T21:00:00+01:00",
           "timezone": "Europe/Berlin", "location": "Hall 2", "url": "https://example.com/e/123"},
 "changes": [{"field": "location", "from": "Hall 1", "to": "Hall 2"}, {"field": "host", "from": null}],
 "attachments": [{"url": "https://files.example.com/agenda.pdf.gz", "name": "agenda.pdf"}], "more": [1.5, {}]}"#;

fn refusal(body: impl AsRef<[u8]>) -> Refusal {
    parse(body.as_ref()).unwrap_err()
}

fn event(body: &str) -> EventMessage {
    let Message::Event(event) = parse(body.as_bytes()).unwrap() else {
        panic!("no event message")
    };
    event
}

#[test]
fn the_full_message() {
    let m = event(FULL);
    assert_eq!((m.kind, m.event_id.get()), (EventKind::Updated, 123));
    assert_eq!(m.tenant_id.unwrap().as_str(), "acme");
    assert_eq!(m.version, Some(4));
    assert_eq!(m.event.title.as_deref(), Some("Rust Meetup"));
    assert_eq!(
        m.event.starts_at.unwrap().to_rfc3339(),
        "2026-12-01T18:00:00+01:00"
    );
    assert_eq!(m.event.timezone, Some(chrono_tz::Europe::Berlin));
    assert_eq!(m.event.url.unwrap().as_str(), "https://example.com/e/123");
    assert_eq!((m.changes.len(), m.changes[1].to.as_deref()), (2, None));
    assert_eq!(m.attachments[0].name, "agenda.pdf");
}

#[rstest]
#[case(r#"{"type":"CREATED","event_id":1}"#)]
#[case("\r\n {\"type\":\"CREATED\",\"event_id\":1} \t\n")]
#[case(r#"{"type":"CREATED","event_id":1,"version":null,"event":null,"changes":null,"attachments":null,"tenant_id":null}"#)]
#[case(r#"{"type":"CREATED","event_id":1,"event":{"title":null,"starts_at":null,"url":null},"changes":[]}"#)]
#[case(r#"{"type":"\u0043REATED","event_id":1,"x":{"y":[{"z":1},{"z":1}]}}"#)]
fn the_least_message(#[case] body: &str) {
    let m = event(body);
    assert_eq!((m.kind, m.event_id.get()), (EventKind::Created, 1));
    assert_eq!(m.event, EventDetails::default());
    assert!(m.version.is_none() && m.tenant_id.is_none() && m.changes.is_empty() && m.attachments.is_empty());
}

#[rstest]
#[case(b"".as_slice())]
#[case(b"  \n")]
#[case(b"{\"type\":\"CREATED\",\"event_id\":1,\"x\":\"\xff\"}")]
#[case(b"\xef\xbb\xbf{\"type\":\"CREATED\",\"event_id\":1}")]
#[case(b"\xff\xfe{\0}\0")]
#[case(br#"{"type":"CREATED","event_id":1"#)]
#[case(br#"{"type":"CREATED","event_id":1,}"#)]
#[case(br#"{"type":"CREATED","event_id":1} {}"#)]
#[case(b"{\"type\":\"CREATED\",\"event_id\":1}\0")]
#[case(br#"[{"type":"CREATED","event_id":1}]"#)]
#[case(br#""CREATED""#)]
#[case(b"null")]
#[case(b"1")]
#[case(br#"{"type":"CREATED","event_id":1,"event_id":1}"#)]
#[case(br#"{"type":"CREATED","event_id":1,"event\u005fid":2}"#)]
#[case(br#"{"type":"CREATED","event_id":1,"x":[{"y":{"a":1,"b":2,"a":3}}]}"#)]
#[case(br#"{"type":"CREATED","event_id":01}"#)]
#[case(br#"{"type":"CREATED","event_id":+1}"#)]
#[case(br#"{"type":"CREATED","event_id":NaN}"#)]
#[case(br#"{"type":"CREATED","event_id":1,"x":"\ud800"}"#)]
#[case(b"{\"type\":\"CREATED\",\"event_id\":1,\"x\":\"a\nb\"}")]
#[case(br"{'type':'CREATED'}")]
fn no_json_object(#[case] body: &[u8]) {
    assert_eq!(
        refusal(body).reason,
        Reason::InvalidJson,
        "{}",
        refusal(body).error
    );
}

#[rstest]
#[case(100, None)]
#[case(128, Some(Reason::InvalidJson))]
#[case(200_000, Some(Reason::InvalidJson))]
fn depth(#[case] levels: usize, #[case] reason: Option<Reason>) {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let inner = if open == "[" { "" } else { "1" };
        let x = format!("{}{inner}{}", open.repeat(levels), close.repeat(levels));
        let body = format!(r#"{{"type":"CREATED","event_id":1,"x":{x}}}"#);
        if body.len() <= MAX_BODY {
            assert_eq!(parse(body.as_bytes()).err().map(|r| r.reason), reason);
        }
        let torn = open.repeat(levels);
        assert_eq!(refusal(torn).reason, Reason::InvalidJson);
    }
}

#[test]
fn size() {
    let body = |len: usize| {
        let frame = r#"{"type":"CREATED","event_id":1,"x":""}"#.len();
        format!(
            r#"{{"type":"CREATED","event_id":1,"x":"{}"}}"#,
            "x".repeat(len - frame)
        )
    };
    assert!(parse(body(MAX_BODY).as_bytes()).is_ok());
    assert_eq!(refusal(body(MAX_BODY + 1)).reason, Reason::TooLarge);
    assert_eq!(refusal(vec![0xff; MAX_BODY + 1]).reason, Reason::TooLarge);
}

#[rstest]
#[case("UPSERTED")]
#[case("updated")]
#[case("")]
#[case("order.deleted")]
#[case("Pipeline_failure")]
fn unknown_types(#[case] word: &str) {
    let body = json!({"type": word, "event_id": "wrong"}).to_string();
    assert_eq!(refusal(body).reason, Reason::UnknownType);
}

#[rstest]
#[case("type", "null")]
#[case("type", "7")]
#[case("type", "{}")]
#[case("event_id", "null")]
#[case("event_id", "\"123\"")]
#[case("event_id", "123.0")]
#[case("event_id", "1e3")]
#[case("event_id", "0")]
#[case("event_id", "-0")]
#[case("event_id", "-1")]
#[case("event_id", "9223372036854775808")]
#[case("event_id", "99999999999999999999999999")]
#[case("event_id", "true")]
#[case("event_id", "[1]")]
#[case("version", "-1")]
#[case("version", "\"4\"")]
#[case("version", "4.0")]
#[case("tenant_id", "7")]
#[case("tenant_id", "\"\"")]
#[case("tenant_id", "\"../etc\"")]
#[case("tenant_id", "\"Acme\"")]
#[case("tenant_id", "\"notifications\"")]
#[case("tenant_id", "\"a\\u0000\"")]
#[case("event", "[]")]
#[case("event", "\"Meetup\"")]
#[case("changes", "{}")]
#[case("attachments", "\"a.pdf\"")]
fn wrong_fields(#[case] name: &str, #[case] value: &str) {
    let mut fields = vec![r#""type":"UPDATED""#.to_owned(), r#""event_id":1"#.to_owned()];
    fields.retain(|f| !f.starts_with(&format!("\"{name}\"")));
    fields.push(format!("\"{name}\":{value}"));
    let refused = refusal(format!("{{{}}}", fields.join(",")));
    assert_eq!(refused.reason, Reason::InvalidField);
    assert!(
        refused.error.starts_with(&format!("{name}: ")),
        "{}",
        refused.error
    );
}

#[rstest]
#[case(json!({"event": {"title": 7}}), "event.title: is an integer, not a string")]
#[case(json!({"event": {"starts_at": "tomorrow"}}), "event.starts_at: `tomorrow` is not an RFC 3339 time")]
#[case(json!({"event": {"starts_at": "2026-12-01T18:00:00"}}), "event.starts_at: ")]
#[case(json!({"event": {"ends_at": "2026-02-30T18:00:00Z"}}), "event.ends_at: ")]
#[case(json!({"event": {"timezone": "Mars/Olympus"}}), "event.timezone: ")]
#[case(json!({"event": {"url": "javascript:alert(1)"}}), "event.url: ")]
#[case(json!({"event": {"url": "/e/123"}}), "event.url: ")]
#[case(json!({"changes": [{"field": "a"}, "b"]}), "changes[1]: is a string, not an object")]
#[case(json!({"changes": [{"from": "a"}]}), "changes[0].field: is missing")]
#[case(json!({"changes": [{"field": ""}]}), "changes[0].field: is empty")]
#[case(json!({"changes": [{"field": "a", "to": 7}]}), "changes[0].to: ")]
#[case(json!({"changes": vec![json!({"field": "a"}); 1001]}), "changes: has 1001 entries")]
#[case(json!({"attachments": [{"name": "a"}]}), "attachments[0].url: is missing")]
#[case(json!({"attachments": [{"url": "file:///etc/passwd", "name": "a"}]}), "attachments[0].url: ")]
#[case(json!({"attachments": [{"url": "ftp://a/b?key=s3cret", "name": "a"}]}), "attachments[0].url: `ftp://a/b` is not an http or https URL")]
#[case(json!({"attachments": [{"url": "https://a/", "name": " "}]}), "attachments[0].name: is empty")]
#[case(json!({"attachments": vec![json!({"url": "https://a/", "name": "a"}); 21]}), "attachments: has 21")]
fn paths_are_named(#[case] extra: Value, #[case] error: &str) {
    let mut body = json!({"type": "UPDATED", "event_id": 1});
    let members = extra.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(members);
    let refused = refusal(body.to_string());
    assert_eq!(refused.reason, Reason::InvalidField);
    assert!(refused.error.starts_with(error), "{}", refused.error);
}

#[test]
fn missing_fields() {
    assert_eq!(
        refusal("{}"),
        Refusal::new(Reason::InvalidField, "type: is missing").at("type")
    );
    let refused = refusal(r#"{"type":"CREATED"}"#);
    assert_eq!(refused.error, "event_id: is missing");
}

const ORDER: &str = r#"{"type": "order.status.updated", "order_id": "ORD-7", "tenant_id": "acme", "version": 2,
    "customer": {"email": "Ann@EXAMPLE.com", "name": "Ann"}, "currency": "EUR", "total": "49.90",
    "items": [{"name": "Ticket", "quantity": 2, "price": "24.95"}, {}], "previous_status": "paid",
    "status": "shipped", "further": {}}"#;

#[test]
fn an_order() {
    let Ok(Message::Order(message)) = parse(ORDER.as_bytes()) else {
        panic!("no order message")
    };
    assert_eq!(message.customer.email.as_str(), "Ann@example.com");
    assert_eq!(
        (message.order.order_id.as_str(), message.version),
        ("ORD-7", Some(2))
    );
    assert_eq!(message.order.total.unwrap().to_string(), "49.90");
    assert_eq!(
        (message.order.items.len(), message.order.items[0].quantity),
        (2, Some(2))
    );
    assert_eq!(message.order.status.as_deref(), Some("shipped"));
    let least = r#"{"type":"order.created","order_id":"1","customer":{"email":"a@example.com"}}"#;
    assert!(matches!(parse(least.as_bytes()), Ok(Message::Order(_))));
}

#[test]
fn a_pipeline() {
    let body = r#"{"type": "data_quality_failure", "pipeline_id": "p", "duration_ms": 1200.6, "severity": "critical",
        "details": {"b": true, "a": [1, 2.5, null], "c": "text", "big": 18446744073709551615, "o": {"z": 1, "y": 2}},
        "failed_checks": ["null_check"]}"#;
    let Ok(Message::Pipeline(message)) = parse(body.as_bytes()) else {
        panic!("no pipeline message")
    };
    let details: Vec<_> = message
        .report
        .details
        .iter()
        .map(|d| (d.name.as_str(), d.value.as_str()))
        .collect();
    let kept = [
        ("b", "true"),
        ("a", "[1,2.5,null]"),
        ("c", "text"),
        ("big", "18446744073709551615"),
        ("o", r#"{"z":1,"y":2}"#),
    ];
    assert_eq!(details, kept, "in the publisher's order");
    assert_eq!(message.report.duration_ms, Some(1201));
    assert_eq!(message.severity, Some(crate::domain::Severity::Critical));
    for kind in PipelineKind::ALL {
        let least = json!({"type": kind.as_str()}).to_string();
        assert!(matches!(parse(least.as_bytes()), Ok(Message::Pipeline(m)) if m.report.kind == *kind));
    }
}

#[rstest]
#[case("order_id", json!(null), "order_id: is missing")]
#[case("order_id", json!(7), "order_id: is an integer")]
#[case("order_id", json!(""), "order_id: ")]
#[case("order_id", json!("x".repeat(256)), "order_id: ")]
#[case("order_id", json!("a\u{0}b"), "order_id: ")]
#[case("customer", json!(null), "customer.email: is missing")]
#[case("customer", json!("ann@example.com"), "customer: is a string")]
#[case("customer", json!({"name": "Ann"}), "customer.email: is missing")]
#[case("customer", json!({"email": "nobody"}), "customer.email: `nobody` is not an e-mail address")]
#[case("customer", json!({"email": "a@example.com\r\nBcc: b@example.com"}), "customer.email: ")]
#[case("customer", json!({"email": "a@example.com", "name": 7}), "customer.name: ")]
#[case("total", json!(49.9), "total: is a number")]
#[case("total", json!("49,90"), "total: `49,90` is not a decimal string")]
#[case("items", json!({}), "items: is an object")]
#[case("items", json!([{"quantity": -1}]), "items[0].quantity: ")]
#[case("items", json!([{}, {"price": "1e3"}]), "items[1].price: ")]
#[case("status", json!(null), "status: is missing")]
#[case("status", json!(" "), "status: is empty")]
fn wrong_orders(#[case] name: &str, #[case] value: Value, #[case] error: &str) {
    let mut body: Value = serde_json::from_str(ORDER).unwrap();
    body[name] = value;
    let refused = refusal(body.to_string());
    assert_eq!(refused.reason, Reason::InvalidField);
    assert!(refused.error.starts_with(error), "{}", refused.error);
}

#[rstest]
#[case("severity", json!("fatal"), "severity: `fatal` is not one of info, warning, error and critical")]
#[case("severity", json!("Error"), "severity: ")]
#[case("title", json!({}), "title: is an object")]
#[case("details", json!([]), "details: is an array")]
#[case("duration_ms", json!(-1), "duration_ms: is not a number from 0")]
#[case("duration_ms", json!("1"), "duration_ms: is a string")]
#[case("duration_ms", json!(1e300), "duration_ms: ")]
#[case("failed_checks", json!("a"), "failed_checks: is a string")]
#[case("failed_checks", json!(["a", 1]), "failed_checks[1]: is an integer")]
#[case("failed_checks", json!(vec!["a"; 1001]), "failed_checks: has 1001")]
#[case("tenant_id", json!("notifications"), "tenant_id: ")]
fn wrong_pipelines(#[case] name: &str, #[case] value: Value, #[case] error: &str) {
    let mut body = json!({"type": "pipeline_failure"});
    body[name] = value;
    let refused = refusal(body.to_string());
    assert_eq!(refused.reason, Reason::InvalidField);
    assert!(refused.error.starts_with(error), "{}", refused.error);
}

#[test]
fn numbers_beyond_a_double_are_wrong_fields() {
    let refused = refusal(r#"{"type":"CREATED","event_id":1e999}"#);
    assert_eq!(refused.reason, Reason::InvalidField);
}

#[test]
fn errors_are_short_and_clean() {
    let hostile = format!("\r\n\u{202e}\0{}", "x".repeat(100_000));
    let bodies = [
        json!({"type": hostile}),
        json!({"type": "CREATED", "event_id": 1, "tenant_id": hostile}),
        json!({"type": "CREATED", "event_id": 1, "event": {"url": hostile}}),
    ];
    for body in bodies {
        let error = refusal(body.to_string()).error;
        assert!(error.chars().count() <= 250, "{error}");
        assert!(
            !error.contains(|c: char| c.is_control() || c == '\u{202e}'),
            "{error:?}"
        );
    }
    let key = "k".repeat(100_000);
    let error = refusal(format!(r#"{{"{key}":1,"{key}":2}}"#)).error;
    assert!(error.contains("stands twice") && error.len() < 250, "{error}");
}

fn text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(".{0,40}")
}

prop_compose! {
    fn details()(title in text(), location in text(), start in proptest::option::of(0i64..4_000_000_000),
                 zone in proptest::option::of(0..chrono_tz::TZ_VARIANTS.len()),
                 path in proptest::option::of("[a-z0-9/]{0,20}")) -> EventDetails {
        let starts_at = start.map(|s| chrono::DateTime::from_timestamp(s, 0).unwrap().fixed_offset());
        EventDetails {
            title,
            starts_at,
            ends_at: starts_at,
            timezone: zone.map(|i| chrono_tz::TZ_VARIANTS[i]),
            location,
            url: path.map(|p| format!("https://example.com/{p}").parse().unwrap()),
        }
    }
}

prop_compose! {
    fn message()(kind in proptest::sample::select(EventKind::ALL), id in 1i64..=i64::MAX,
                 tenant in proptest::option::of("[a-z0-9][a-z0-9_-]{0,40}"), event in details(),
                 version in proptest::option::of(0i64..=i64::MAX),
                 changes in proptest::collection::vec(("[a-z]{1,9}", text(), text()), 0..4)) -> EventMessage {
        EventMessage {
            kind,
            event_id: EventId::new(id).unwrap(),
            tenant_id: tenant.map(|t| t.parse().unwrap()),
            version,
            event,
            changes: changes.into_iter().map(|(field, from, to)| Change { field, from, to }).collect(),
            attachments: vec![Attachment { url: "http://a/b".parse().unwrap(), name: "b".to_owned() }],
        }
    }
}

fn write(m: &EventMessage) -> Value {
    let attachment = |a: &Attachment| json!({"url": a.url, "name": a.name});
    json!({
        "type": m.kind.as_str(),
        "event_id": m.event_id.get(),
        "tenant_id": m.tenant_id.as_ref().map(crate::domain::TenantId::as_str),
        "version": m.version,
        "event": m.event,
        "changes": m.changes,
        "attachments": m.attachments.iter().map(attachment).collect::<Vec<_>>(),
    })
}

proptest! {
    #[test]
    fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&body);
    }

    #[test]
    fn never_panics_on_torn_messages(cut in 0..FULL.len(), at in 0..FULL.len(), byte: u8) {
        let mut body = FULL.as_bytes().to_vec();
        body[at] = byte;
        let _ = parse(&body);
        prop_assert_eq!(parse(&FULL.as_bytes()[..cut]).unwrap_err().reason, Reason::InvalidJson);
    }

    #[test]
    fn valid_messages_round_trip(message in message()) {
        let body = write(&message).to_string();
        prop_assert_eq!(parse(body.as_bytes()), Ok(Message::Event(message)));
    }
}
