//! Bad messages whose publishers say more than they should: each is set aside, does no harm there, and
//! costs nobody the channel.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lapin::BasicProperties;
use lapin::message::BasicGetMessage;
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use rstest::rstest;
use serde_json::json;

use super::scene::*;
use crate::support::database::Kind;
use crate::support::rabbit::header;
use crate::support::until;

/// Had a dead letter kept it, the letter would be gone by the time it is looked at.
const EXPIRATION: Duration = Duration::from_secs(2);
/// Of an earlier, good message.
const KNOWN: &str = "known";
/// What Herald writes on every dead letter.
const OURS: [&str; 4] = [
    "x-herald-attempts",
    "x-herald-dead-at",
    "x-herald-error",
    "x-herald-reason",
];

/// What a publisher may set beside the body, and what of it the dead letter may have.
struct Foreign {
    name: &'static str,
    sent: BasicProperties,
    kept: BasicProperties,
}

/// These headers are kept, those are not.
fn foreign(name: &'static str, kept: &[(&str, AMQPValue)], dropped: &[(&str, AMQPValue)]) -> Foreign {
    let harmless = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("identity".into())
        .with_priority(9)
        .with_reply_to("replies".into())
        .with_timestamp(1_700_000_000)
        .with_type("kind".into())
        .with_app_id("shop".into());
    let all = [kept, dropped].concat();
    Foreign {
        name,
        sent: harmless.clone().with_delivery_mode(1).with_headers(table(&all)),
        kept: harmless.with_delivery_mode(2).with_headers(table(kept)),
    }
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn list(items: Vec<AMQPValue>) -> AMQPValue {
    AMQPValue::FieldArray(FieldArray::from(items))
}

/// `queue` is where the messages arrive, `other` is somebody else's.
fn kinds(queue: &str, other: &str) -> Vec<Foreign> {
    let routes = list(vec![text(other), text(queue)]);
    let trace = ("trace", text("abc"));
    let traced = [trace.clone()];
    let own = [
        trace,
        ("cc", text("in lower case it is any header")),
        ("x-retries", AMQPValue::LongLongInt(-7)),
        ("nested", list(vec![AMQPValue::FieldTable(table(&traced))])),
    ];
    let death = AMQPValue::FieldTable(table(&[
        ("count", AMQPValue::LongLongInt(99)),
        ("queue", text(queue)),
        ("reason", text("rejected")),
    ]));
    let history = [
        ("x-death", list(vec![death])),
        ("x-first-death-queue", text(queue)),
        ("x-last-death-reason", text("rejected")),
    ];
    let detour = [
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(other)),
    ];
    let forged = [
        ("x-herald-reason", text("forged")),
        ("x-herald-dispatch", text("of another")),
    ];
    // Together with ours it would not fit into one frame, which closes the connection.
    let huge = [("huge", text(&"x".repeat(130_800)))];
    let mut kinds = vec![
        foreign("CC", &traced, &[("CC", routes.clone())]),
        foreign("BCC", &traced, &[("BCC", routes.clone())]),
        foreign("dead-lettering", &own, &detour),
        foreign("a history", &[], &history),
        foreign("own headers", &own, &[]),
        foreign("forged", &own, &forged),
        foreign("huge", &[], &huge),
    ];
    for (name, expires, user) in [("expiration", true, false), ("user_id", false, true)] {
        let mut kind = foreign(name, &own, &[]);
        if expires {
            kind.sent = kind
                .sent
                .with_expiration(EXPIRATION.as_millis().to_string().into());
        }
        if user {
            kind.sent = kind.sent.with_user_id("guest".into());
        }
        kinds.push(kind);
    }
    let every = [
        &[("CC", routes.clone()), ("BCC", routes)][..],
        &history,
        &detour,
        &forged,
    ]
    .concat();
    let mut kind = foreign("all of it", &own, &every);
    kind.sent = kind
        .sent
        .with_expiration("2000".into())
        .with_user_id("guest".into());
    kinds.push(kind);
    kinds
}

/// Body, reason, and `message_id` if it matters.
fn bodies() -> Vec<(Vec<u8>, &'static str, Option<&'static str>)> {
    let conflict = json!({"type": "UPDATED", "event_id": 10}).to_string();
    vec![
        (b"\xff\xfe\0 no JSON\r\n".to_vec(), "invalid-json", None),
        (b"".to_vec(), "invalid-json", None),
        (br#"{"type": "UPSERTED"}"#.to_vec(), "unknown-type", None),
        (br#"{"type": "UPDATED"}"#.to_vec(), "invalid-field", None),
        (vec![b' '; (1 << 20) + 1], "too-large", None),
        (conflict.into_bytes(), "message-id-conflict", Some(KNOWN)),
    ]
}

/// What has to become of one of them.
struct Expected {
    body: Vec<u8>,
    reason: &'static str,
    kept: BasicProperties,
}

impl Expected {
    fn check(&self, name: &str, letter: &BasicGetMessage) {
        assert!(letter.data == self.body, "{name}: another body");
        assert_eq!(
            header(letter, "x-herald-reason").as_deref(),
            Some(self.reason),
            "{name}"
        );
        let mut headers = letter
            .properties
            .headers()
            .clone()
            .expect("headers")
            .inner()
            .clone();
        assert!(OURS.iter().all(|ours| headers.remove(*ours).is_some()), "{name}");
        let dispatch = headers.remove("x-herald-dispatch");
        let known = self.reason == "message-id-conflict";
        assert_eq!(dispatch.is_some(), known, "{name}");
        assert_ne!(dispatch, Some(text("of another")), "{name}");
        let kept = self.kept.headers().clone().expect("headers");
        // Without their values, one of which is huge.
        assert!(&headers == kept.inner(), "{name}: {:?}", headers.keys());
        assert_eq!(
            letter.properties.clone().with_headers(FieldTable::default()),
            self.kept.clone().with_headers(FieldTable::default()),
            "{name}"
        );
    }
}

/// Publishes every body with every kind of properties; what has to become of each, by correlation id.
async fn publish_all(scene: &Scene, other: &str) -> BTreeMap<String, Expected> {
    let mut expected = BTreeMap::new();
    for (number, (body, reason, id)) in bodies().into_iter().enumerate() {
        for kind in kinds(&scene.rabbit.broker.queue, other) {
            let name = format!("{reason} {number}, {}", kind.name);
            let with = |p: BasicProperties| {
                p.with_correlation_id(name.as_str().into())
                    .with_message_id(id.unwrap_or(&name).into())
            };
            scene.rabbit.publish(&body, with(kind.sent)).await;
            let (body, kept) = (body.clone(), with(kind.kept));
            expected.insert(name, Expected { body, reason, kept });
        }
    }
    expected
}

#[rstest]
#[tokio::test]
async fn foreign_properties(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let mut tally = Tally::new("messages: foreign properties on bad bodies", kind, 0);
    for _ in 0..runs(1).min(10) {
        let mut scene = Scene::new(kind).await;
        let dead = scene.rabbit.dead();
        let other = format!("{}-other", scene.rabbit.broker.queue);
        scene.rabbit.declare(&other, true, FieldTable::default()).await;
        // Another user than the publisher: a user_id that is not one's own closes the channel.
        let user = format!("herald-{}", uuid::Uuid::new_v4());
        scene.rabbit.add_user(&user).await;
        scene.log_in_as(&user);
        let worker = scene.settings.start().await;
        scene.db.add_numbered(9, "first", 1);
        scene
            .rabbit
            .send_as(KNOWN, &json!({"type": "UPDATED", "event_id": 9}))
            .await;
        scene.completed(1).await;
        let connection = scene.rabbit.consuming_connection().await;

        scene.db.add_people(7, PEOPLE);
        scene.publish(7).await;
        let mut expected = publish_all(&scene, &other).await;
        let (begun, count) = (Instant::now(), u32::try_from(expected.len()).expect("few"));
        // Those with CC or BCC, as their publisher wished.
        let copies = scene.rabbit.ready(&other).await;
        assert_eq!(copies, Some(3 * count / 10));
        until("all are set aside", LIMIT, async || {
            (scene.rabbit.ready(&dead).await == Some(count)).then_some(())
        })
        .await;
        scene.db.add_numbered(8, "later", 1);
        scene.publish(8).await;
        scene.settled(3).await;
        let recovery = begun.elapsed();

        tokio::time::sleep(EXPIRATION).await;
        assert_eq!(scene.rabbit.ready(&dead).await, Some(count), "dead letters");
        assert_eq!(scene.rabbit.ready(&other).await, copies, "copies elsewhere");
        while let Some(letter) = scene.rabbit.take(&dead).await {
            let name = letter.properties.correlation_id().clone().expect("is kept");
            let one = expected.remove(name.as_str()).expect("one letter for each");
            one.check(name.as_str(), &letter);
        }
        assert!(expected.is_empty(), "{:?}", expected.keys());
        assert_eq!(scene.rabbit.consuming_connection().await, connection);
        assert!(!worker.log().contains("lost the broker"));
        scene.rabbit.delete(&other).await;
        scene.rabbit.remove_user(&user).await;
        tally.add(scene.end(vec![worker], PEOPLE + 2).await, recovery);
    }
    tally.tell();
}
