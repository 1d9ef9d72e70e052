//! The consumer against a real broker.

use chrono::Utc;
use herald::consumer::{AmqpPublisher, BrokerError, BrokerStatus, DeadLetter, Settled, Source, Verdict};
use herald::domain::DispatchId;
use herald::message::Reason;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable, ShortString};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::proxy::{self, Proxy};
use crate::support::rabbit::{Rabbit, address, connected, down, next, within};

fn dead_letter() -> Verdict {
    Verdict::DeadLetter(DeadLetter {
        reason: Reason::InvalidField,
        error: "event_id:\r\nmissing".into(),
        attempts: 2,
        dispatch: None,
        at: Utc::now(),
    })
}

fn plain() -> BasicProperties {
    BasicProperties::default()
}

fn long(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}

#[tokio::test]
async fn consumes_and_acks() {
    let rabbit = Rabbit::new().await;
    let (mut source, _) = rabbit.source().await;
    rabbit
        .publish(b"one", plain().with_message_id("m-1".into()))
        .await;
    rabbit.publish(b"", plain().with_message_id("".into())).await;
    let one = next(&mut source).await;
    assert_eq!(
        (one.body.as_slice(), one.message_id.as_deref(), one.redelivered),
        (&b"one"[..], Some("m-1"), false)
    );
    assert_eq!(&*one.queue, rabbit.broker.queue);
    assert!(one.is_live());
    assert!(matches!(one.settle(&Verdict::Ack).await, Settled::Done));
    assert!(!one.is_live());
    assert!(
        matches!(one.settle(&Verdict::Ack).await, Settled::Lost),
        "settled twice"
    );
    let two = next(&mut source).await;
    assert_eq!((two.body.as_slice(), two.message_id.as_deref()), (&b""[..], None));
    assert!(matches!(two.settle(&Verdict::Ack).await, Settled::Done));
    rabbit.publish(b"three", plain()).await;
    let unsettled = next(&mut source).await;
    let (a, b) = tokio::join!(one.prove(), two.prove());
    assert!(a && b);
    assert!(!unsettled.prove().await, "no ack was sent");
    source.close().await;
    assert!(one.prove().await, "what was proven stays so");
    assert_eq!(rabbit.ready(&rabbit.broker.queue).await, Some(1));
    rabbit.clean().await;
}

#[tokio::test]
async fn creates_plain_durable_queues() {
    let rabbit = Rabbit::new().await;
    let (source, _) = rabbit.source().await;
    for queue in [rabbit.broker.queue.clone(), rabbit.dead()] {
        let seen = rabbit.described(&queue).await;
        assert_eq!(
            (&seen["durable"], &seen["auto_delete"], &seen["arguments"]),
            (&json!(true), &json!(false), &json!({}))
        );
    }
    source.close().await;
    rabbit.clean().await;
}

#[tokio::test]
async fn takes_an_existing_queue_as_it_is() {
    let rabbit = Rabbit::new().await;
    let odd = table(&[("x-max-length", AMQPValue::LongInt(10))]);
    rabbit.declare(&rabbit.broker.queue, false, odd).await;
    rabbit
        .declare(&rabbit.dead(), true, table(&[("x-queue-type", long("quorum"))]))
        .await;
    let (mut source, _) = rabbit.source().await;
    rabbit.publish(b"x", plain()).await;
    let delivery = next(&mut source).await;
    assert!(matches!(delivery.settle(&dead_letter()).await, Settled::Done));
    source.close().await;
    assert!(rabbit.take(&rabbit.dead()).await.is_some());
    rabbit.clean().await;
}

#[tokio::test]
async fn a_dead_letter_keeps_body_and_properties_and_tells_why() {
    let rabbit = Rabbit::new().await;
    let (mut source, _) = rabbit.source().await;
    let body = b"\xff\xfe\x00 not UTF-8 \r\n";
    let sent = plain()
        .with_content_type("application/json".into())
        .with_content_encoding("identity".into())
        .with_correlation_id("c-1".into())
        .with_reply_to("replies".into())
        .with_message_id("m-1".into())
        .with_timestamp(1_700_000_000)
        .with_type("kind".into())
        .with_app_id("shop".into())
        .with_priority(3)
        .with_delivery_mode(1)
        .with_headers(table(&[
            ("trace", long("abc")),
            ("n", AMQPValue::LongLongInt(-7)),
        ]));
    rabbit.publish(body, sent.clone()).await;
    let delivery = next(&mut source).await;
    let dispatch = DispatchId::generate();
    let letter = DeadLetter {
        reason: Reason::InvalidField,
        error: format!("event_id:\r\nmissing {}", "x".repeat(2000)),
        attempts: 2,
        dispatch: Some(dispatch),
        at: "2026-01-02T03:04:05+01:00".parse().unwrap(),
    };
    assert!(matches!(
        delivery.settle(&Verdict::DeadLetter(letter)).await,
        Settled::Done
    ));
    assert!(delivery.prove().await);
    source.close().await;
    assert_eq!(
        rabbit.ready(&rabbit.broker.queue).await,
        Some(0),
        "the original is acked"
    );

    let dead = rabbit.take(&rabbit.dead()).await.unwrap();
    assert_eq!(dead.data, body);
    let headers = dead.properties.headers().clone().unwrap();
    assert_eq!(
        dead.properties.clone().with_headers(FieldTable::default()),
        sent.with_delivery_mode(2).with_headers(FieldTable::default())
    );
    let error = match headers.inner().get("x-herald-error") {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(error.starts_with("event_id: missing xxx"), "{error}");
    assert_eq!(error.chars().count(), 1000);
    assert_eq!(
        headers,
        table(&[
            ("trace", long("abc")),
            ("n", AMQPValue::LongLongInt(-7)),
            ("x-herald-reason", long("invalid-field")),
            ("x-herald-error", long(&error)),
            ("x-herald-attempts", AMQPValue::LongLongInt(2)),
            ("x-herald-dead-at", long("2026-01-02T02:04:05.000Z")),
            ("x-herald-dispatch", long(&dispatch.to_string())),
        ])
    );
    rabbit.clean().await;
}

#[tokio::test]
async fn hostile_properties_do_not_act_again() {
    let rabbit = Rabbit::new().await;
    let (mut source, _) = rabbit.source().await;
    let other = format!("{}-other", rabbit.broker.queue);
    rabbit.declare(&other, true, FieldTable::default()).await;
    let routes = AMQPValue::FieldArray(FieldArray::from(vec![long(&other)]));
    let history = AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::FieldTable(table(&[
        ("count", AMQPValue::LongLongInt(99)),
        ("queue", long("q")),
    ]))]));
    let sent = plain()
        .with_expiration("60000".into())
        .with_user_id("guest".into())
        .with_headers(table(&[
            ("CC", routes.clone()),
            ("BCC", routes),
            ("x-death", history),
            ("x-first-death-queue", long("q")),
            ("x-last-death-reason", long("rejected")),
            ("x-dead-letter-exchange", long("")),
            ("x-dead-letter-routing-key", long(&other)),
            ("x-herald-dispatch", long("of another")),
            ("kept", long("yes")),
        ]));
    rabbit.publish(b"x", sent).await;
    assert!(
        rabbit.take(&other).await.is_some(),
        "the publisher's CC reached the other queue"
    );
    let copies = rabbit.ready(&other).await;
    let delivery = next(&mut source).await;
    assert!(matches!(delivery.settle(&dead_letter()).await, Settled::Done));
    assert_eq!(rabbit.ready(&other).await, copies, "no further copy");
    let dead = rabbit.take(&rabbit.dead()).await.unwrap();
    assert_eq!(
        (dead.properties.expiration(), dead.properties.user_id()),
        (&None, &None)
    );
    let names: Vec<_> = dead
        .properties
        .headers()
        .iter()
        .flat_map(FieldTable::inner)
        .map(|(k, _)| k.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "kept",
            "x-herald-attempts",
            "x-herald-dead-at",
            "x-herald-error",
            "x-herald-reason"
        ]
    );
    source.close().await;
    rabbit.delete(&other).await;
    rabbit.clean().await;
}

#[tokio::test]
async fn without_a_dead_letter_queue_the_original_stays() {
    let rabbit = Rabbit::new().await;
    let (mut source, _) = rabbit.source().await;
    rabbit.publish(b"x", plain()).await;
    let delivery = next(&mut source).await;
    rabbit.delete(&rabbit.dead()).await;
    match delivery.settle(&dead_letter()).await {
        Settled::Failed(BrokerError::Returned(queue)) => assert_eq!(queue, rabbit.dead()),
        other => panic!("{other:?}"),
    }
    assert!(delivery.is_live(), "the original is still in hand");
    assert_eq!(
        rabbit.ready(&rabbit.dead()).await,
        Some(0),
        "the queue is back for the next try"
    );
    assert!(matches!(delivery.settle(&dead_letter()).await, Settled::Done));
    source.close().await;
    assert_eq!(rabbit.ready(&rabbit.dead()).await, Some(1));
    assert_eq!(rabbit.ready(&rabbit.broker.queue).await, Some(0));
    rabbit.clean().await;
}

#[tokio::test]
async fn a_refused_dead_letter_leaves_the_original() {
    let rabbit = Rabbit::new().await;
    let full = table(&[
        ("x-max-length", AMQPValue::LongInt(0)),
        ("x-overflow", long("reject-publish")),
    ]);
    rabbit.declare(&rabbit.dead(), true, full).await;
    let (mut source, _) = rabbit.source().await;
    rabbit.publish(b"x", plain()).await;
    let delivery = next(&mut source).await;
    assert!(matches!(
        delivery.settle(&dead_letter()).await,
        Settled::Failed(BrokerError::Refused)
    ));
    source.close().await;
    assert_eq!(rabbit.ready(&rabbit.broker.queue).await, Some(1));
    rabbit.clean().await;
}

#[tokio::test]
async fn after_a_forced_close_old_deliveries_are_lost_and_come_again() {
    let rabbit = Rabbit::new().await;
    let (mut source, mut status) = rabbit.source().await;
    for body in [b"0", b"1", b"2"] {
        rabbit.publish(body, plain()).await;
    }
    let old = [
        next(&mut source).await,
        next(&mut source).await,
        next(&mut source).await,
    ];
    assert!(matches!(old[0].settle(&Verdict::Ack).await, Settled::Done));
    assert!(old[0].prove().await);
    rabbit.close_consuming_connection().await;
    let reason = down(&mut status).await;
    assert!(
        reason.contains("CONNECTION_FORCED") || reason.contains("CONNECTION-FORCED"),
        "{reason}"
    );
    connected(&mut status).await;
    let again = [next(&mut source).await, next(&mut source).await];
    assert!(again.iter().all(|d| d.redelivered && d.is_live()));
    assert!(!old[1].is_live() && !old[2].is_live());
    // Their tags now belong to the new deliveries: none of these verdicts may reach them.
    assert!(matches!(old[1].settle(&Verdict::Ack).await, Settled::Lost));
    assert!(matches!(old[2].settle(&dead_letter()).await, Settled::Lost));
    assert!(!old[1].prove().await);
    assert_eq!(rabbit.ready(&rabbit.dead()).await, Some(0));
    assert!(matches!(again[0].settle(&Verdict::Ack).await, Settled::Done));
    assert!(again[0].prove().await);
    source.close().await;
    let left = rabbit
        .take(&rabbit.broker.queue)
        .await
        .expect("the one not acked is back");
    assert_eq!(left.data, again[1].body);
    assert!(rabbit.take(&rabbit.broker.queue).await.is_none());
    rabbit.clean().await;
}

/// The broker's URL by way of `port`, and where that port has to lead.
fn by_way_of(port: u16) -> (url::Url, String) {
    let mut url = address();
    let target = format!(
        "{}:{}",
        url.host_str().expect("a host"),
        url.port().unwrap_or(5672)
    );
    url.set_port(Some(port)).expect("a host");
    (url, target)
}

#[tokio::test]
async fn waits_for_a_broker_that_comes_later() {
    let mut rabbit = Rabbit::new().await;
    let port = proxy::free_port();
    let (url, target) = by_way_of(port);
    rabbit.broker.url = url.as_str().into();
    let (mut source, mut status) = Source::amqp(&rabbit.broker, &CancellationToken::new());
    let refused = |s: &BrokerStatus| matches!(s, BrokerStatus::Down(r) if r.contains("refused"));
    within(status.wait_for(refused)).await.unwrap();
    let _proxy = Proxy::start(port, target).await;
    connected(&mut status).await;
    rabbit.publish(b"x", plain()).await;
    assert_eq!(next(&mut source).await.body, b"x");
    source.close().await;
    rabbit.clean().await;
}

#[tokio::test]
async fn notices_a_broker_that_falls_silent() {
    let mut rabbit = Rabbit::new().await;
    let port = proxy::free_port();
    let (mut url, target) = by_way_of(port);
    url.set_query(Some("heartbeat=1"));
    rabbit.broker.url = url.as_str().into();
    let proxy = Proxy::start(port, target).await;
    let (mut source, mut status) = rabbit.source().await;
    rabbit.publish(b"x", plain()).await;
    let old = next(&mut source).await;
    proxy.silence();
    let reason = down(&mut status).await;
    assert!(reason.contains("heartbeat"), "{reason}");
    assert!(!old.is_live());
    assert!(matches!(old.settle(&Verdict::Ack).await, Settled::Lost));
    connected(&mut status).await;
    let again = next(&mut source).await;
    assert!(again.redelivered);
    assert!(matches!(again.settle(&Verdict::Ack).await, Settled::Done));
    assert!(again.prove().await);
    source.close().await;
    rabbit.clean().await;
}

#[tokio::test]
async fn a_wrong_password_is_told_but_not_shown() {
    let mut rabbit = Rabbit::new().await;
    let mut url = address();
    url.set_password(Some("s3cr3t-w0rd")).unwrap();
    rabbit.broker.url = url.as_str().into();
    let (source, mut status) = Source::amqp(&rabbit.broker, &CancellationToken::new());
    let reason = {
        let told = |s: &BrokerStatus| matches!(s, BrokerStatus::Down(r) if r.contains("ACCESS"));
        format!("{:?}", *within(status.wait_for(told)).await.unwrap())
    };
    assert!(!reason.contains("s3cr3t"), "{reason}");
    source.close().await;
}

#[tokio::test]
async fn no_more_than_the_prefetch_is_in_hand() {
    let mut rabbit = Rabbit::new().await;
    rabbit.broker.prefetch = 2;
    rabbit
        .declare(&rabbit.broker.queue, true, FieldTable::default())
        .await;
    for _ in 0..5 {
        rabbit.publish(b"x", plain()).await;
    }
    let (mut source, _) = rabbit.source().await;
    let first = next(&mut source).await;
    let _second = next(&mut source).await;
    assert_eq!(rabbit.ready(&rabbit.broker.queue).await, Some(3));
    assert!(matches!(first.settle(&Verdict::Ack).await, Settled::Done));
    assert!(first.prove().await, "asking does not change the prefetch");
    let _third = next(&mut source).await;
    assert_eq!(rabbit.ready(&rabbit.broker.queue).await, Some(2));
    source.close().await;
    rabbit.clean().await;
}

#[tokio::test]
async fn retry_later_brings_it_again() {
    let rabbit = Rabbit::new().await;
    let (mut source, _) = rabbit.source().await;
    rabbit.publish(b"x", plain()).await;
    let first = next(&mut source).await;
    assert!(!first.redelivered);
    assert!(matches!(first.settle(&Verdict::RetryLater).await, Settled::Done));
    assert!(next(&mut source).await.redelivered);
    source.close().await;
    rabbit.clean().await;
}

#[tokio::test]
async fn after_stopping_what_is_in_hand_can_still_be_acked() {
    let rabbit = Rabbit::new().await;
    rabbit
        .declare(&rabbit.broker.queue, true, FieldTable::default())
        .await;
    for _ in 0..4 {
        rabbit.publish(b"x", plain()).await;
    }
    let shutdown = CancellationToken::new();
    let (mut source, _status) = Source::amqp(&rabbit.broker, &shutdown);
    let (held, left) = (next(&mut source).await, next(&mut source).await);
    shutdown.cancel();
    within(source.stop_consuming()).await;
    assert!(within(source.next()).await.is_none());
    assert!(held.is_live());
    assert!(matches!(held.settle(&Verdict::Ack).await, Settled::Done));
    assert!(held.prove().await);
    assert_eq!(
        rabbit.ready(&rabbit.broker.queue).await,
        Some(2),
        "what was not handed out is back already"
    );
    within(source.close()).await;
    assert!(!left.is_live());
    assert!(matches!(left.settle(&Verdict::Ack).await, Settled::Lost));
    assert_eq!(rabbit.ready(&rabbit.broker.queue).await, Some(3));
    rabbit.clean().await;
}

#[tokio::test]
async fn a_deleted_queue_is_created_again() {
    let rabbit = Rabbit::new().await;
    let (mut source, mut status) = rabbit.source().await;
    rabbit.publish(b"x", plain()).await;
    let old = next(&mut source).await;
    rabbit.delete(&rabbit.broker.queue).await;
    let reason = down(&mut status).await;
    assert!(reason.contains(&rabbit.broker.queue), "{reason}");
    assert!(!old.is_live());
    connected(&mut status).await;
    rabbit.publish(b"y", plain()).await;
    assert_eq!(next(&mut source).await.body, b"y");
    source.close().await;
    rabbit.clean().await;
}

#[tokio::test]
async fn publishing_to_nowhere_is_a_failure_of_that_message_alone() {
    let rabbit = Rabbit::new().await;
    let publisher = AmqpPublisher::new(&rabbit.broker);
    let (queue, nowhere) = (
        rabbit.broker.queue.clone(),
        format!("{}-nowhere", rabbit.broker.queue),
    );
    publisher.ensure_queue(&queue).await.unwrap();
    let sent = (0..40).map(|n| {
        let queue = if n % 2 == 0 { &queue } else { &nowhere };
        let publisher = &publisher;
        async move { publisher.publish(queue, b"{}", &format!("m-{n}")).await }
    });
    for (n, done) in within(futures_util::future::join_all(sent))
        .await
        .into_iter()
        .enumerate()
    {
        let wanted = if n % 2 == 0 {
            Ok(())
        } else {
            Err(BrokerError::Returned(nowhere.clone()))
        };
        assert_eq!(done, wanted, "{n}");
    }
    let too_long = publisher.publish(&queue, b"{}", &"x".repeat(256)).await;
    assert_eq!(too_long, Err(BrokerError::TooLong("the message_id")));
    publisher.close().await;
    assert_eq!(rabbit.ready(&queue).await, Some(20));
    let message = rabbit.take(&queue).await.unwrap();
    assert_eq!(message.properties.delivery_mode(), &Some(2));
    rabbit.delete(&queue).await;
}

fn send_test_message(rabbit: &Rabbit, directory: &std::path::Path) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::cargo_bin("send_test_message").expect("built by cargo");
    command
        .current_dir(directory)
        .env("LAVINMQ_URL", address().as_str())
        .env("LAVINMQ_QUEUE", &rabbit.broker.queue);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn send_test_message_publishes_what_is_asked() {
    let rabbit = Rabbit::new().await;
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], input: &str| {
        let mut command = send_test_message(&rabbit, directory.path());
        command
            .args(arguments)
            .write_stdin(input.to_owned())
            .output()
            .unwrap()
    };
    let done = run(&["--type", "UPDATED", "--event-id", "123", "--count", "3"], "");
    assert!(done.status.success(), "{done:?}");
    let mut ids = std::collections::HashSet::new();
    for _ in 0..3 {
        let message = rabbit.take(&rabbit.broker.queue).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&message.data).unwrap();
        assert_eq!(body, json!({"type": "UPDATED", "event_id": 123}));
        assert_eq!(message.properties.delivery_mode(), &Some(2));
        ids.insert(message.properties.message_id().clone().unwrap());
    }
    assert_eq!(ids.len(), 3);
    assert!(
        run(
            &["--json", "-", "--count", "2", "--message-id", "same"],
            "[not json"
        )
        .status
        .success()
    );
    for _ in 0..2 {
        let message = rabbit.take(&rabbit.broker.queue).await.unwrap();
        assert_eq!(message.data, b"[not json");
        assert_eq!(
            message.properties.message_id().as_ref().map(ShortString::as_str),
            Some("same")
        );
    }
    for wrong in [
        &[][..],
        &["--type", "UPDATED"],
        &["--type", "UPDATED", "--event-id", "0"],
        &["--json", "missing.json"],
    ] {
        assert_eq!(run(wrong, "").status.code(), Some(2), "{wrong:?}");
    }
    let port = proxy::free_port();
    let absent = send_test_message(&rabbit, directory.path())
        .env("LAVINMQ_URL", format!("amqp://u:s3cr3t@127.0.0.1:{port}/"))
        .args(["--type", "UPDATED", "--event-id", "1"])
        .output()
        .unwrap();
    assert_eq!(absent.status.code(), Some(1));
    let told = String::from_utf8_lossy(&absent.stderr).into_owned();
    assert!(told.contains("refused") && !told.contains("s3cr3t"), "{told}");
    rabbit.delete(&rabbit.broker.queue).await;
}
