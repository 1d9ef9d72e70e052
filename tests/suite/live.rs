//! `/ws` of running workers: what it tells, to whom, and who is let go.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::configs::Configs;
use crate::support::database::Kind;
use crate::support::smtp::{Action, At, Options};
use crate::support::socket::{Socket, open, open_with};
use crate::support::stage::Stage;
use crate::support::until;
use crate::support::worker::Worker;

const LIMIT: Duration = Duration::from_secs(30);

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["type"].as_str()).collect()
}

#[rstest::rstest]
#[tokio::test]
async fn a_dispatch_with_failures(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let slow = Options::default().script(|event| {
        let refused = event.at == At::Rcpt && event.recipient.starts_with("perm");
        let reply = || Action::Reply("550 5.1.1 no such user");
        let delay = (event.at == At::Dot).then(|| Action::Delay(Duration::from_millis(100)));
        refused.then(reply).or(delay)
    });
    let stage = Stage::new(kind, slow).await;
    stage.db.add_people(1, 60);
    stage.db.add_numbered(1, "perm", 2);
    stage
        .db
        .add(1, &[("nobody", "Nobody"), ("gone@example.com", "Gone")]);
    stage
        .db
        .execute("UPDATE participants SET unsubscribed_at = CURRENT_TIMESTAMP WHERE name = 'Gone'");
    let worker = stage.settings().set("SMTP_CONNECTIONS", 2).start().await;
    let mut socket = open(&worker, "", &[]).await.unwrap();
    let message = json!({"type": "UPDATED", "event_id": 1, "tenant_id": "acme"});
    stage.rabbit.send(&message).await;
    let events = socket.until_type("dispatch.completed").await;

    let dispatch = &stage.db.dispatches()[0];
    assert!(
        events.iter().all(|event| event["dispatch_id"] == dispatch.id),
        "{events:#?}"
    );
    let first = &events[0];
    assert_eq!(
        (
            &first["type"],
            &first["message_type"],
            &first["tenant_id"],
            &first["event_id"],
            &first["order_id"]
        ),
        (
            &json!("dispatch.started"),
            &json!("UPDATED"),
            &json!("acme"),
            &json!(1),
            &json!(null)
        )
    );
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], at + 1, "{event}");
        let time = event["at"].as_str().unwrap_or_default();
        assert!(
            time.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(time).is_ok(),
            "{event}"
        );
    }
    let failed: Vec<_> = events
        .iter()
        .filter(|e| e["type"] == "notification.failed")
        .collect();
    let mut recipients: Vec<_> = failed
        .iter()
        .map(|e| e["recipient"].as_str().unwrap_or_default())
        .collect();
    recipients.sort_unstable();
    assert_eq!(recipients, ["nobody", "perm0@example.com", "perm1@example.com"]);
    for event in &failed {
        let row = stage.db.row(event["recipient"].as_str().unwrap_or_default());
        assert_eq!(
            (&event["notification_id"], &event["error"]),
            (&json!(row.id), &json!(row.reason()))
        );
    }
    let progress: Vec<_> = events
        .iter()
        .filter(|e| e["type"] == "dispatch.progress")
        .collect();
    assert!(progress.len() >= 5, "{:?}", types(&events));
    let sent: Vec<_> = progress
        .iter()
        .map(|e| e["counts"]["sent"].as_u64().unwrap_or(0))
        .collect();
    assert!(sent.is_sorted() && sent.last() > Some(&30), "{sent:?}");
    let times: Vec<_> = progress
        .iter()
        .filter_map(|e| chrono::DateTime::parse_from_rfc3339(e["at"].as_str()?).ok())
        .collect();
    let far = |pair: &[chrono::DateTime<_>]| (pair[1] - pair[0]).num_milliseconds() >= 150;
    assert!(times.windows(2).all(far), "more than five a second: {times:?}");
    let last = &events[events.len() - 1];
    assert_eq!(last["status"], "partial");
    assert_eq!(last["counts"], json!({"sent": 60, "failed": 3, "suppressed": 1}));
    stage.end(worker).await;
}

#[tokio::test]
async fn what_was_missed_comes_again_and_what_is_gone_is_a_gap() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    stage.db.add_people(1, 3);
    let worker = stage.settings().start().await;
    let mut socket = open(&worker, "?since=0", &[]).await.unwrap();
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 1}))
        .await;
    let all = socket.until_type("dispatch.completed").await;
    stage
        .rabbit
        .publish(
            b"{",
            lapin::BasicProperties::default().with_message_id("m-1".into()),
        )
        .await;
    let letter = socket.next().await;
    let known =
        json!({"type": "dead_letter", "reason": "invalid-json", "message_id": "m-1", "dispatch_id": null});
    for (key, value) in known.as_object().unwrap() {
        assert_eq!(&letter[key], value, "{letter}");
    }
    let newest = letter["seq"].as_u64().unwrap();
    for since in 0..=newest {
        let mut late = open(&worker, &format!("?since={since}"), &[]).await.unwrap();
        for event in all.iter().chain([&letter]).skip(usize::try_from(since).unwrap()) {
            assert_eq!(&late.next().await, event);
        }
        assert!(since % 3 > 0 || late.is_silent(Duration::from_millis(300)).await);
    }
    let mut foreign = open(&worker, &format!("?since={}", newest + 1), &[])
        .await
        .unwrap();
    let gap = foreign.next().await;
    assert_eq!(
        (&gap["type"], &gap["from"], &gap["to"], &gap["seq"]),
        (&json!("gap"), &json!(null), &json!(0), &json!(0))
    );
    assert_eq!(&foreign.next().await, &all[0]);
    for query in [
        "?since=",
        "?since=-1",
        "?since=x",
        "?since=1&since=2",
        "?token=x",
        "?since=1&a=b",
    ] {
        assert_eq!(open(&worker, query, &[]).await.err(), Some(400), "{query}");
    }
    let plain = worker.get("/ws").await;
    assert_eq!(plain.status(), 400);
    assert_eq!(plain.headers()["content-type"], "application/problem+json");
    stage.end(worker).await;
}

#[tokio::test]
async fn who_may_and_from_where() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let settings = stage.settings().set("API_TOKEN", "s3cret,token").set(
        "HTTP_ALLOWED_ORIGINS",
        "https://gateway.example, http://other.example:8080",
    );
    let worker = settings.start().await;
    let protocol = "sec-websocket-protocol";
    for headers in [
        vec![],
        vec![(protocol, "bearer")],
        vec![(protocol, "bearer, wrong")],
        vec![(protocol, "bearer, s3cret,toke")],
        vec![(protocol, "s3cret,token, bearer")],
        vec![(protocol, "token, s3cret,token")],
        vec![("authorization", "Bearer wrong")],
        vec![("authorization", "Basic s3cret,token")],
    ] {
        assert_eq!(open(&worker, "", &headers).await.err(), Some(401), "{headers:?}");
    }
    assert_eq!(open(&worker, "?token=s3cret,token", &[]).await.err(), Some(401));
    let right = ("authorization", "Bearer s3cret,token");
    assert_eq!(open(&worker, "", &[right]).await.unwrap().protocol, None);
    let offered = (protocol, "bearer, s3cret,token");
    assert_eq!(
        open(&worker, "", &[offered]).await.unwrap().protocol.as_deref(),
        Some("bearer")
    );

    let own = worker.url("");
    for welcome in [
        own.as_str(),
        "https://gateway.example",
        "http://other.example:8080",
    ] {
        assert!(
            open(&worker, "", &[right, ("origin", welcome)]).await.is_ok(),
            "{welcome}"
        );
    }
    for foreign in [
        "https://evil.example",
        "http://gateway.example",
        "http://other.example",
        "null",
        "http://127.0.0.1",
    ] {
        assert_eq!(
            open(&worker, "", &[right, ("origin", foreign)]).await.err(),
            Some(403),
            "{foreign}"
        );
    }
    assert!(!worker.log().contains("s3cret"), "the token is in the log");
    stage.end(worker).await;
}

#[tokio::test]
async fn who_does_not_read_is_let_go_and_holds_nobody_up() {
    const COUNT: usize = 30_000;
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let people: Vec<_> = (0..COUNT)
        .map(|n| (format!("nobody {n} {}", "x".repeat(200)), ""))
        .collect();
    stage.db.add(1, &people);
    let worker = stage.settings().set("BATCH_SIZE", 1000).start().await;
    let clients = async || {
        let text = worker.get("/metrics").await.text().await.unwrap();
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix("herald_websocket_clients "));
        line.map(str::to_owned)
    };
    let silent = open_with(&worker, "", &[], Some(4096)).await.unwrap();
    let mut reader = open(&worker, "", &[]).await.unwrap();
    assert_eq!(clients().await.as_deref(), Some("2"));
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 1}))
        .await;
    stage.db.wait_dispatches(1, &["failed"]).await;
    until("a client that is let go", LIMIT, async || {
        (clients().await.as_deref() != Some("2")).then_some(())
    })
    .await;
    drop(silent);
    // Whoever reads has all, or was told where to go on: the numbers have no hole.
    reader.send(Message::text("anybody there?")).await.unwrap();
    let mut gone = open(&worker, "?since=5", &[]).await.unwrap();
    let gap = gone.next().await;
    assert_eq!((&gap["type"], &gap["from"]), (&json!("gap"), &json!(6)));
    let to = gap["to"].as_u64().unwrap();
    assert_eq!(gone.next().await["seq"], to + 1);
    let rest = gone.until_type("dispatch.completed").await;
    assert!(rest.len() < 10_001);
    assert_eq!(rest[rest.len() - 1]["counts"], json!({"failed": COUNT}));
    gone.send(Message::text("x".repeat(5000))).await.unwrap();
    gone.end().await;
    stage.end(worker).await;
}

#[tokio::test]
async fn a_thousand_idle_clients_cost_little() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    stage.db.add_people(1, 2_000);
    let worker = stage.settings().start().await;
    let mut first = open(&worker, "", &[]).await.unwrap();
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 1}))
        .await;
    first.until_type("dispatch.completed").await;
    let before = worker.memory();
    let mut clients = Vec::new();
    for _ in 0..1_000 {
        clients.push(open(&worker, "", &[]).await.unwrap());
    }
    let more = worker.memory().saturating_sub(before);
    println!("1,000 idle clients: {more} kB more than the {before} kB before");
    assert!(more < 20 * 1024, "{more} kB");
    stage
        .rabbit
        .send(&json!({"type": "CANCELLED", "event_id": 1}))
        .await;
    for client in &mut clients {
        client.until_type("dispatch.completed").await;
    }
    stage.end(worker).await;
}

/// A client of each worker, as soon as these hear each other.
async fn linked(stage: &Stage, one: &Worker, other: &Worker) -> [Socket; 2] {
    until("linked workers", LIMIT, async || {
        let mut sockets = [
            open(one, "", &[]).await.unwrap(),
            open(other, "", &[]).await.unwrap(),
        ];
        stage
            .rabbit
            .publish(b"{", lapin::BasicProperties::default())
            .await;
        let [first, second] = &mut sockets;
        let both = async { tokio::join!(first.until_type("dead_letter"), second.until_type("dead_letter")) };
        tokio::time::timeout(Duration::from_secs(2), both).await.ok()?;
        Some(sockets)
    })
    .await
}

#[tokio::test]
async fn workers_tell_each_other() {
    let stage = Stage::new(Kind::Postgres, Options::default()).await;
    stage.db.add_people(1, 20);
    let configs = Configs::new();
    let settings = configs.of(stage.settings());
    let (one, other) = (settings.start().await, settings.start().await);
    let mut sockets = linked(&stage, &one, &other).await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 1}))
        .await;
    let mut seen = Vec::new();
    for socket in &mut sockets {
        let events = socket.until_type("dispatch.completed").await;
        let numbers: Vec<_> = events.iter().filter_map(|e| e["seq"].as_u64()).collect();
        assert!(
            numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{numbers:?}"
        );
        assert!(
            socket.is_silent(Duration::from_millis(500)).await,
            "events that are told twice"
        );
        let events = events.into_iter().map(|mut event| {
            event.as_object_mut().unwrap().remove("seq");
            event
        });
        seen.push(events.collect::<Vec<_>>());
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(types(&seen[0])[0], "dispatch.started");
    assert_eq!(seen[0][seen[0].len() - 1]["counts"], json!({"sent": 20}));

    // What anybody publishes there is passed over.
    stage.rabbit.fan_out(b"{\"worker\": \"x\"}").await;
    stage.rabbit.fan_out(&vec![b'x'; 1_000_000]).await;
    let event = json!({"type": "relay.state", "relay": "<b>", "state": "closed", "reply": null});
    let frame = json!({"worker": "w1", "at": "2026-01-01T00:00:00Z", "event": event});
    stage.rabbit.fan_out(frame.to_string().as_bytes()).await;
    for socket in &mut sockets {
        assert_eq!(socket.next().await["relay"], "<b>");
    }
    // Files that turn invalid and valid again.
    configs.raw("acme", b"{");
    let invalid = sockets[0].until_type("config.invalid").await.pop().unwrap();
    assert_eq!(invalid["tenant_id"], "acme");
    assert!(
        invalid["error"].is_string()
            && invalid["file"]
                .as_str()
                .is_some_and(|f| f.ends_with("acme/notifications.json"))
    );
    configs.remove("acme");
    let valid = sockets[0]
        .until(|e| e["type"] == "config.invalid" && e["error"].is_null())
        .await;
    assert_eq!(valid[valid.len() - 1]["tenant_id"], "acme");
    // A connection that is lost comes back.
    stage.rabbit.close_live_connections().await;
    let mut sockets = linked(&stage, &one, &other).await;
    one.stop().await;
    assert_eq!(sockets[0].end().await, Some(1001), "at a stop");
    stage.end(other).await;
}

#[tokio::test]
async fn relays_that_close_and_open() {
    let refusing = Options::default().script(|event| {
        let refused = event.at == At::Mail && event.connection <= 3;
        refused.then(|| Action::Reply("530 5.7.0 log in first"))
    });
    let stage = Stage::new(Kind::Sqlite, refusing).await;
    stage.db.add_people(1, 1);
    let worker = stage.settings().set("SMTP_CONNECTIONS", 1).start().await;
    let mut socket = open(&worker, "?since=0", &[]).await.unwrap();
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 1}))
        .await;
    let closed = socket.until_type("relay.state").await.pop().unwrap();
    let relay = format!("127.0.0.1:{}", stage.smtp.port());
    assert_eq!(
        (&closed["relay"], &closed["state"]),
        (&json!(relay), &json!("closed"))
    );
    assert!(
        closed["reply"]
            .as_str()
            .is_some_and(|reply| reply.contains("530 5.7.0 log in first")),
        "{closed}"
    );
    let text = worker.get("/metrics").await.text().await.unwrap();
    assert!(
        text.contains(&format!("herald_relay_open{{relay=\"{relay}\"}} 0")),
        "{text}"
    );
    let opened = socket
        .until(|e| e["type"] == "relay.state" && e["state"] == "open")
        .await;
    assert_eq!(opened[opened.len() - 1]["reply"], json!(null));
    stage.db.wait_dispatches(1, &["completed"]).await;
    stage.end(worker).await;
}
