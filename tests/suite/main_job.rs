//! One message in, one e-mail to each participant, acked at the end: the program, a broker, three
//! databases and an SMTP conversation, all real.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use rstest::rstest;
use serde_json::json;
use tokio::sync::watch;

use crate::support::database::{Kind, Row};
use crate::support::mail::{HEADERS, Mail};
use crate::support::smtp::{Action, At, Message, Options};
use crate::support::stage::Stage;
use crate::support::until;

/// Far longer than any of these tests takes.
const LIMIT: Duration = Duration::from_mins(1);

fn recipients(messages: &[Message]) -> BTreeSet<&str> {
    messages.iter().map(|message| message.to.as_str()).collect()
}

/// The e-mails to recipients that begin so wait until true is sent.
fn held(prefix: &'static str) -> (watch::Sender<bool>, Options) {
    let (open, gate) = watch::channel(false);
    let options = Options::default().script(move |event| {
        let waits = event.at == At::Dot && event.recipient.starts_with(prefix);
        waits.then(|| Action::Until(gate.clone()))
    });
    (open, options)
}

/// This reply to RCPT, whenever the recipient begins so.
fn refused(prefix: &'static str, reply: &'static str) -> Options {
    Options::default().script(move |event| {
        let refused = event.at == At::Rcpt && event.recipient.starts_with(prefix);
        refused.then_some(Action::Reply(reply))
    })
}

#[rstest]
#[tokio::test]
async fn everybody_is_told_once(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let (open, options) = held("last");
    let stage = Stage::new(kind, options).await;
    stage.db.add_people(7, 245);
    stage.db.add_numbered(7, "last", 5);
    stage.db.add_numbered(8, "other", 3);
    let worker = stage.settings().start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7}))
        .await;

    stage.db.wait_count("sent", 245).await;
    stage.rabbit.wait_counts(0, 1).await;
    assert_eq!(stage.db.dispatch().status, "running");
    open.send_replace(true);
    let closed = stage.db.wait_closed().await;
    assert_eq!((closed.status.as_str(), closed.lease_token), ("completed", None));
    until("a proven ack", LIMIT, async || {
        stage.db.dispatch().ack_proven.then_some(())
    })
    .await;

    let messages = stage.smtp.messages();
    assert_eq!((messages.len(), recipients(&messages).len()), (250, 250));
    let mails: Vec<_> = messages.iter().map(Mail::parse).collect();
    for (message, mail) in messages.iter().zip(&mails) {
        assert_eq!(mail.to, message.to);
        let number = message
            .to
            .trim_start_matches(char::is_alphabetic)
            .split('@')
            .next()
            .unwrap();
        assert_eq!(mail.to_name, Some(format!("Person {number}")));
        assert_eq!(mail.names, HEADERS);
        assert_eq!(
            mail.kinds[..3],
            ["multipart/alternative", "text/plain", "text/html"]
        );
        assert!(mail.subject.contains("Event #7"), "{}", mail.subject);
        for body in [&mail.text, &mail.html] {
            assert!(
                body.contains(&format!("Person {number},")) && body.contains("Event #7"),
                "{body}"
            );
        }
    }
    let ids: BTreeSet<_> = mails.iter().map(|mail| mail.message_id.as_str()).collect();
    assert_eq!(ids.len(), 250);
    let rows = stage.db.rows();
    assert_eq!(rows.len(), 250);
    let correct = |row: &Row| {
        (row.status.as_str(), row.attempts, row.reason()) == ("sent", 1, "")
            && row.sent_at.is_some()
            && row.next_attempt_at.is_none()
            && ids.contains(row.message_id.as_str())
    };
    assert!(rows.iter().all(correct), "{rows:#?}");
    stage.end(worker).await;
}

#[rstest]
#[tokio::test]
async fn an_address_is_told_once(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let offers = Options {
        offers: &["SMTPUTF8", "8BITMIME"],
        ..Options::default()
    };
    let stage = Stage::new(kind, offers).await;
    let people = [
        ("Ann@EXAMPLE.com", "Ann"),
        ("ann@example.com", "another Ann"),
        ("Ann@example.com", "Ann again"),
        ("gone@example.com", "Gone"),
        (" Ann@example.com ", "Ann with spaces"),
        ("jose@example.com", "Jose"),
        ("josé@example.com", "José"),
        ("eve@bücher.example", "Eve"),
        ("eve@XN--BCHER-KVA.example", "Eve again"),
    ];
    stage.db.add(7, &people);
    let unsubscribe = "UPDATE participants SET unsubscribed_at = CURRENT_TIMESTAMP WHERE name = 'Gone'";
    assert_eq!(stage.db.execute(unsubscribe), 1);
    // Pages of two: the same address on one page and on several.
    let worker = stage.settings().set("BATCH_SIZE", 2).start().await;
    stage
        .rabbit
        .send(&json!({"type": "CREATED", "event_id": 7}))
        .await;
    assert_eq!(stage.db.wait_closed().await.status, "completed");

    let mut told: Vec<_> = stage
        .smtp
        .messages()
        .into_iter()
        .map(|message| message.to)
        .collect();
    told.sort();
    let expected = [
        "Ann@example.com",
        "ann@example.com",
        "eve@xn--bcher-kva.example",
        "jose@example.com",
        "josé@example.com",
    ];
    assert_eq!(told, expected);
    assert_eq!(stage.db.rows().len(), 6);
    let gone = stage.db.row("gone@example.com");
    assert_eq!(
        (gone.status.as_str(), gone.attempts, gone.reason()),
        ("suppressed", 0, "unsubscribed")
    );
    stage.end(worker).await;
}

#[rstest]
#[tokio::test]
async fn the_message_overrides_the_row(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let stage = Stage::new(kind, Options::default()).await;
    stage.db.add_people(7, 1);
    let row = "INSERT INTO events (id, title, location, starts_at, timezone)
        VALUES (7, 'Row title', 'Row hall', '2026-12-01 17:00:00', 'Europe/Berlin')";
    assert_eq!(stage.db.execute(row), 1);
    let worker = stage.settings().start().await;
    let told = async |event| {
        let before = stage.smtp.messages().len();
        stage
            .rabbit
            .send(&json!({"type": "UPDATED", "event_id": 7, "event": event}))
            .await;
        let messages = stage.smtp.wait_for(before + 1, LIMIT).await;
        Mail::parse(&messages[before])
    };
    let mail = told(json!(null)).await;
    assert!(mail.subject.contains("Row title"), "{}", mail.subject);
    for body in [&mail.text, &mail.html] {
        assert!(body.contains("Row hall") && body.contains("18:00"), "{body}");
    }
    let mail = told(json!({"title": "New title", "starts_at": "2026-12-01T20:30:00+01:00"})).await;
    assert!(mail.subject.contains("New title"), "{}", mail.subject);
    for body in [&mail.text, &mail.html] {
        assert!(
            body.contains("Row hall") && body.contains("20:30") && !body.contains("18:00"),
            "{body}"
        );
    }
    stage.db.wait_dispatches(2, &["completed"]).await;
    stage.end(worker).await;
}

#[rstest]
#[tokio::test]
async fn nobody_to_tell(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let stage = Stage::new(kind, Options::default()).await;
    stage.db.add_people(8, 2);
    let worker = stage.settings().start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7}))
        .await;
    assert_eq!(stage.db.wait_closed().await.status, "completed");
    assert!(stage.db.rows().is_empty());
    assert!(stage.smtp.attempts().is_empty());
    stage.end(worker).await;
}

#[rstest]
#[tokio::test]
async fn a_giant_does_not_starve_a_small_event(
    #[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind,
) {
    // Nothing is taken before both are read, and the giant's last e-mail only when the small one is done.
    let (begin, begun) = watch::channel(false);
    let (finish, finished) = watch::channel(false);
    let options = Options::default().script(move |event| {
        let last = event.recipient.starts_with("giant2999@");
        let gate = if last { &finished } else { &begun };
        (event.at == At::Dot).then(|| Action::Until(gate.clone()))
    });
    let stage = Stage::new(kind, options).await;
    stage.db.add_numbered(1, "giant", 3000);
    stage.db.add_numbered(2, "small", 10);
    // The largest page there is: the whole giant waits before the small one comes.
    let worker = stage.settings().set("BATCH_SIZE", 10_000).start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 1}))
        .await;
    stage.db.wait_count("pending", 3000).await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 2}))
        .await;
    stage.db.wait_count("pending", 3010).await;
    begin.send_replace(true);

    let status = |event: i64| {
        let mut all = stage.db.dispatches().into_iter();
        all.find(|d| d.event_id == Some(event))
            .map(|d| d.status)
            .unwrap_or_default()
    };
    until("the small one", LIMIT, async || {
        (status(2) == "completed").then_some(())
    })
    .await;
    assert_eq!(status(1), "running");
    stage.smtp.wait_for(3009, LIMIT).await;
    stage.rabbit.wait_counts(0, 1).await;
    finish.send_replace(true);
    stage.db.wait_dispatches(2, &["completed"]).await;

    let messages = stage.smtp.messages();
    assert_eq!((messages.len(), recipients(&messages).len()), (3010, 3010));
    let last = messages
        .iter()
        .rposition(|message| message.to.starts_with("small"));
    // In turns it takes some forty places, one after the other all of them.
    assert!(last.is_some_and(|place| place < 1000), "{last:?}");
    stage.end(worker).await;
}

/// Databases bound the values of a statement, and the largest page has more.
#[rstest]
#[case::smallest(1, 40)]
#[case::largest(10_000, 6_500)]
#[tokio::test]
async fn pages_of_any_size(
    #[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind,
    #[case] batch_size: usize,
    #[case] people: usize,
) {
    let stage = Stage::new(kind, Options::default()).await;
    stage.db.add_people(7, people);
    let settings = stage.settings().set("EMAIL_DUMMY_MODE", true);
    let worker = settings.set("BATCH_SIZE", batch_size).start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7}))
        .await;
    assert_eq!(stage.db.wait_closed().await.status, "completed");
    assert_eq!(
        (stage.db.count("sent"), stage.db.rows().len()),
        (i64::try_from(people).unwrap(), people)
    );
    assert_eq!(stage.smtp.connections(), 0, "dummy mode connects to nobody");
    stage.end(worker).await;
}

#[rstest]
#[tokio::test]
async fn nobody_waits_for_a_refused_one(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let stage = Stage::new(kind, Options::default()).await;
    for (prefix, count) in [("temp", 5), ("perm", 5), ("person", 30)] {
        stage.db.add_numbered(7, prefix, count);
    }
    // Over one connection, whoever waited would be waited for by all.
    let worker = stage
        .settings()
        .set("RETRY_DELAY", 1)
        .set("SMTP_CONNECTIONS", 1)
        .start()
        .await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7}))
        .await;
    let dispatch = stage.db.wait_closed().await;
    assert_eq!(dispatch.status, "partial");

    for i in 0..5 {
        let temp = stage.db.row(&format!("temp{i}@example.com"));
        assert_eq!((temp.status.as_str(), temp.attempts), ("sent", 3), "{temp:?}");
        let perm = stage.db.row(&format!("perm{i}@example.com"));
        assert_eq!((perm.status.as_str(), perm.attempts), ("failed", 1), "{perm:?}");
        assert_eq!(perm.reason(), "rcpt: 550 5.1.1 no such user");
    }
    assert_eq!((stage.db.count("sent"), stage.db.count("failed")), (35, 5));
    let messages = stage.smtp.messages();
    assert_eq!((messages.len(), recipients(&messages).len()), (35, 35));
    assert!(
        messages[..30]
            .iter()
            .all(|message| message.to.starts_with("person"))
    );
    let asked: Vec<_> = stage
        .smtp
        .attempts()
        .into_iter()
        .filter(|a| a.at == At::Rcpt)
        .collect();
    let first: BTreeSet<_> = asked[..40].iter().map(|attempt| &attempt.to).collect();
    assert_eq!(
        (first.len(), asked.len()),
        (40, 50),
        "everybody once before anybody twice"
    );
    stage.end(worker).await;
}

/// The only row of `refused@example.com` after its dispatch has one of these statuses.
async fn after(stage: &Stage, status: &str) -> Row {
    stage.db.wait_dispatches(1, &[status]).await;
    assert_eq!(stage.db.row("person0@example.com").status, "sent");
    stage.db.row("refused@example.com")
}

/// Whether the row is to be tried again in about this time.
fn is_due_in(row: &Row, wait: TimeDelta) -> bool {
    let left = row.next_attempt_at.map(|at| at - Utc::now().naive_utc());
    left.is_some_and(|left| left <= wait && left > wait - TimeDelta::minutes(2))
}

#[rstest]
#[tokio::test]
async fn refused_too_often_is_deferred(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let stage = Stage::new(kind, refused("refused", "452 4.2.2 mailbox full")).await;
    stage
        .db
        .add(7, &[("refused@example.com", "R"), ("person0@example.com", "P")]);
    let settings = stage.settings().set("MAX_RETRIES", 1).set("RETRY_DELAY", 0.05);
    let worker = settings.set("RETRY_SCHEDULE", "1h,2h").start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7}))
        .await;
    let row = after(&stage, "waiting").await;
    assert_eq!((row.status.as_str(), row.attempts), ("deferred", 2));
    assert_eq!(row.reason(), "rcpt: 452 4.2.2 mailbox full");
    assert!(is_due_in(&row, TimeDelta::hours(1)), "{row:?}");
    let dispatch = stage.db.dispatch();
    assert_eq!((dispatch.due_at, dispatch.closed_at), (row.next_attempt_at, None));
    stage.end(worker).await;
}

#[tokio::test]
async fn refused_too_often_fails_without_a_schedule() {
    let stage = Stage::new(Kind::Sqlite, refused("refused", "452 4.2.2 mailbox full")).await;
    stage
        .db
        .add(7, &[("refused@example.com", "R"), ("person0@example.com", "P")]);
    let settings = stage.settings().set("MAX_RETRIES", 1).set("RETRY_DELAY", 0.05);
    let worker = settings.set("RETRY_SCHEDULE", "").start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7}))
        .await;
    let row = after(&stage, "partial").await;
    assert_eq!(
        (row.status.as_str(), row.attempts, row.next_attempt_at),
        ("failed", 2, None)
    );
    assert_eq!(row.reason(), "rcpt: 452 4.2.2 mailbox full");
    stage.end(worker).await;
}

#[rstest]
#[case::closed(Action::AcceptAndClose, "resend")]
#[case::silent(Action::AcceptAndHang, "resend")]
#[case::closed_hold(Action::AcceptAndClose, "hold")]
#[case::silent_hold(Action::AcceptAndHang, "hold")]
#[tokio::test]
async fn no_reply_to_the_dot_is_unknown(
    #[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind,
    #[case] action: Action,
    #[case] on_unknown: &str,
) {
    let options = Options::default().script(move |event| {
        let lost = event.at == At::Dot && event.recipient.starts_with("refused");
        lost.then(|| action.clone())
    });
    let stage = Stage::new(kind, options).await;
    stage
        .db
        .add(7, &[("refused@example.com", "R"), ("person0@example.com", "P")]);
    let settings = stage
        .settings()
        .set("ON_UNKNOWN", on_unknown)
        .set("RETRY_SCHEDULE", "1h");
    let worker = settings.set("SMTP_DATA_TIMEOUT", "1s").start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7}))
        .await;
    if on_unknown == "resend" {
        let row = after(&stage, "waiting").await;
        assert_eq!((row.status.as_str(), row.attempts), ("unknown", 1));
        assert!(row.reason().starts_with("dot: "), "{row:?}");
        assert!(is_due_in(&row, TimeDelta::hours(1)), "{row:?}");
    } else {
        let row = after(&stage, "partial").await;
        assert_eq!(
            (row.status.as_str(), row.attempts, row.next_attempt_at),
            ("unknown", 1, None)
        );
    }
    assert_eq!(stage.smtp.messages().len(), 2, "nothing was sent again");
    stage.end(worker).await;
}
