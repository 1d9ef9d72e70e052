use super::*;
use crate::domain::{Channel, NotificationId, NotificationStatus};
use serde_json::{Value, json};

fn started() -> Started {
    Started {
        dispatch: DispatchId::generate(),
        kind: "UPDATED",
        tenant: None,
        event: Some(7),
        order: None,
        accepted: Utc::now(),
    }
}

/// All that a client has been told so far.
fn told(live: &Live) -> Vec<Value> {
    let missed = live.subscribe(Some(0)).missed;
    missed
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

#[test]
fn a_dispatch_from_its_start_to_its_end() {
    let live = Live::new(Utc::now);
    let running = live.begin(started());
    running.found(Tally::default());
    running.read(3, &[]);
    live.tell_progress();
    live.tell_progress();
    let id = NotificationId;
    running.committed(id(1), Channel::Email, &Became::Sent);
    running.committed(
        id(2),
        Channel::Email,
        &Became::Failed("a@b.example".into(), "550 no\r\n".into()),
    );
    running.committed(id(3), Channel::Email, &Became::Same);
    live.tell_progress();
    running.left(DispatchStatus::Partial);
    live.tell_progress();
    let told = told(&live);
    let kinds: Vec<_> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let progress = "dispatch.progress";
    let all = [
        "dispatch.started",
        progress,
        "notification.failed",
        progress,
        "dispatch.completed",
    ];
    assert_eq!(kinds, all);
    assert_eq!(told[0]["message_type"], "UPDATED");
    assert_eq!(told[1]["counts"], json!({"pending": 3}));
    assert_eq!(
        (&told[2]["recipient"], &told[2]["error"]),
        (&json!("a@b.example"), &json!("550 no"))
    );
    assert_eq!(told[4]["counts"], json!({"pending": 1, "sent": 1, "failed": 1}));
    assert!(told.iter().enumerate().all(|(at, event)| event["seq"] == at + 1));
    live.count_second();
    let minute = live.throughput().pop().unwrap();
    assert_eq!((minute.sent, minute.failed), (1, 1));
    drop(running);
    live.tell_progress();
    assert!(lock(&live.0.running).is_empty());
}

#[test]
fn workers_hear_each_other_and_not_themselves() {
    let (one, other) = (Live::new(Utc::now), Live::new(Utc::now));
    let mut out = one.link().unwrap();
    assert!(one.link().is_none());
    one.emit(started().into());
    assert!(out.try_recv().is_err(), "nobody is there yet");
    one.set_linked(true);
    one.begin(started())
        .committed(NotificationId(1), Channel::Slack, &Became::Sent);
    one.count_second();
    while let Ok(frame) = out.try_recv() {
        one.receive(&frame);
        other.receive(&frame);
    }
    assert_eq!((told(&one).len(), told(&other).len()), (2, 1));
    assert_eq!(told(&other)[0]["worker"], one.0.worker);
    assert_eq!(other.throughput().pop().map(|minute| minute.sent), Some(1));
    assert_eq!(one.throughput().pop().map(|minute| minute.sent), Some(1));
}

#[test]
fn nonsense_from_others_is_passed_over() {
    let live = Live::new(Utc::now);
    let event = json!({"type": "dispatch.progress", "dispatch_id": "1", "status": "running", "counts": {"sent": 1, "new": 2}});
    let frame = json!({"worker": "w1", "at": "2026-01-01T00:00:00Z", "event": event});
    let with = |key: &str, value: Value| {
        let mut frame = frame.clone();
        frame[key] = value;
        serde_json::to_vec(&frame).unwrap()
    };
    for nonsense in [
        b"".to_vec(),
        b"{".to_vec(),
        b"[]".to_vec(),
        with("worker", json!("a\"b")),
        with("worker", json!("")),
        with("at", json!("now")),
        with("sent", json!(-1)),
        with("sent", json!(u64::MAX)),
        with("event", json!({"type": "gap"})),
        with("more", json!("x".repeat(MAX_FRAME))),
    ] {
        live.receive(&nonsense);
    }
    assert!(told(&live).is_empty(), "{:?}", told(&live));
    live.receive(&with("more", json!(1)));
    assert_eq!(told(&live)[0]["counts"], json!({"sent": 1}));
}

#[test]
fn a_full_outbox_holds_nobody_up() {
    let live = Live::new(Utc::now);
    live.set_linked(true);
    for _ in 0..OUTBOX * 2 {
        live.emit(started().into());
    }
    assert_eq!(told(&live).len(), OUTBOX * 2);
}

#[test]
fn relays_and_files() {
    let live = Live::new(Utc::now);
    let mark = live.relay("mx.example.com:25", true);
    mark.closed("auth: 535 no");
    assert!(
        live.metrics()
            .render()
            .contains("herald_relay_open{relay=\"mx.example.com:25\"} 0")
    );
    mark.opened();
    live.config(
        Some("acme"),
        "acme/notifications.json".into(),
        Some("email: wrong"),
    );
    assert!(live.metrics().render().contains("herald_config_invalid 1"));
    live.config(Some("acme"), "acme/notifications.json".into(), None);
    assert!(live.metrics().render().contains("herald_config_invalid 0"));
    let told = told(&live);
    assert_eq!(
        (&told[0]["state"], &told[0]["reply"]),
        (&json!("closed"), &json!("auth: 535 no"))
    );
    assert_eq!(
        (&told[1]["state"], &told[1]["reply"]),
        (&json!("open"), &json!(null))
    );
    assert_eq!(
        (&told[2]["error"], &told[3]["error"]),
        (&json!("email: wrong"), &json!(null))
    );
    assert_eq!(NotificationStatus::ALL.len(), 8);
}
