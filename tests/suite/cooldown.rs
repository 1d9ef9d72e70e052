//! Cooldowns: of equal messages in a burst one is told, whoever takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::configs::Configs;
use crate::support::database::Kind;
use crate::support::mail::Mail;
use crate::support::smtp::{Action, At, Options};
use crate::support::stage::Stage;
use crate::support::until;
use crate::support::worker::Settings;

const LIMIT: Duration = Duration::from_mins(1);

fn failure(pipeline: &str) -> Value {
    json!({"type": "pipeline_failure", "tenant_id": "acme", "pipeline_id": pipeline})
}

/// A tenant whose failures are told once in so many seconds.
fn cooled(stage: &Stage, seconds: f64) -> (Configs, Settings) {
    let configs = Configs::new();
    configs.tenant(
        "acme",
        &json!({"enabled": true, "email": {"to_emails": ["ops@acme.example"]},
        "event_triggers": [{"event": "pipeline_failure", "cooldown_seconds": seconds}]}),
    );
    let settings = configs.of(stage.settings());
    (configs, settings)
}

/// As if the time of every cooldown were over, though not for so long that it would be forgotten.
fn is_over(stage: &Stage) {
    let before = chrono::Utc::now() - chrono::TimeDelta::hours(1);
    let set = format!("UPDATE cooldowns SET ends_at = '{}'", before.format("%F %T"));
    stage.db.execute(&set);
}

/// Equal messages over two workers, a restart, and the end of the cooldown, which a test need not wait for.
#[rstest]
#[tokio::test]
async fn of_a_burst_one_is_told(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let stage = Stage::new(kind, Options::default()).await;
    let (_configs, settings) = cooled(&stage, 3600.0);
    let settings = settings.set("LAVINMQ_PREFETCH", 4);
    let (one, two) = (settings.start().await, settings.start().await);
    for _ in 0..20 {
        stage.rabbit.send(&failure("daily")).await;
    }
    stage.db.wait_dispatches(20, &["completed"]).await;
    assert_eq!((stage.db.count("sent"), stage.db.count("suppressed")), (1, 19));
    let reasons: Vec<_> = stage
        .db
        .rows()
        .into_iter()
        .filter(|r| r.status == "suppressed")
        .collect();
    assert!(reasons.iter().all(|row| row.reason().starts_with("cooldown: ")));

    one.stop().await;
    two.stop().await;
    let worker = settings.start().await;
    stage.rabbit.send(&failure("other")).await;
    stage.db.wait_dispatches(21, &["completed"]).await;
    assert_eq!(
        stage.smtp.messages().len(),
        2,
        "another pipeline is another matter"
    );

    is_over(&stage);
    stage.rabbit.send(&failure("daily")).await;
    stage.db.wait_dispatches(22, &["completed"]).await;
    let messages = stage.smtp.messages();
    assert_eq!(messages.len(), 3);
    let mail = Mail::parse(messages.last().expect("the third"));
    assert!(
        mail.text.contains("19 similar notifications were held back"),
        "{}",
        mail.text
    );
    assert!(mail.html.contains("19 similar"), "{}", mail.html);
    stage.end(worker).await;
}

/// What reached nobody holds nothing back; what it held back before is counted on.
#[tokio::test]
async fn a_failure_releases_it() {
    let options = Options::default().script(|event| {
        (event.at == At::Rcpt && event.connection < 3)
            .then_some(Action::ReplyAndClose("550 5.1.1 no such user"))
    });
    let stage = Stage::new(Kind::Sqlite, options).await;
    let (_configs, settings) = cooled(&stage, 3600.0);
    let worker = settings.set("SMTP_CONNECTIONS", 1).start().await;
    for count in 1..=3 {
        stage.rabbit.send(&failure("daily")).await;
        stage.db.wait_dispatches(count, &["completed", "failed"]).await;
    }
    assert_eq!(
        (
            stage.db.count("failed"),
            stage.db.count("sent"),
            stage.db.count("suppressed")
        ),
        (2, 1, 0)
    );
    stage.rabbit.send(&failure("daily")).await;
    stage.db.wait_dispatches(4, &["completed", "failed"]).await;
    assert_eq!(stage.db.count("suppressed"), 1);
    stage.end(worker).await;
}

/// What a message that reached nobody would have said of those before it, the next one says.
#[tokio::test]
async fn those_held_back_are_told_of_in_the_end() {
    let closed = Arc::new(AtomicBool::new(false));
    let is_closed = Arc::clone(&closed);
    let options = Options::default().script(move |event| {
        let refused = event.at == At::Rcpt && is_closed.load(Ordering::SeqCst);
        refused.then_some(Action::Reply("550 5.1.1 no such user"))
    });
    let stage = Stage::new(Kind::Sqlite, options).await;
    let (_configs, settings) = cooled(&stage, 3600.0);
    let worker = settings.start().await;
    let tell = async |count| {
        stage.rabbit.send(&failure("daily")).await;
        stage.db.wait_dispatches(count, &["completed", "failed"]).await;
    };
    for count in 1..=3 {
        tell(count).await;
    }
    assert_eq!(stage.db.count("suppressed"), 2);
    is_over(&stage);
    closed.store(true, Ordering::SeqCst);
    tell(4).await;
    tell(5).await;
    assert_eq!(stage.db.count("failed"), 2);
    closed.store(false, Ordering::SeqCst);
    tell(6).await;
    let messages = stage.smtp.messages();
    let mail = Mail::parse(messages.last().expect("the second"));
    assert!(
        mail.text.contains("2 similar notifications were held back"),
        "{}",
        mail.text
    );
    assert_eq!(messages.len(), 2);
    stage.end(worker).await;
}

/// It ends by itself.
#[tokio::test]
async fn it_passes() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let (_configs, settings) = cooled(&stage, 0.5);
    let worker = settings.start().await;
    let mut sent = 0;
    until("a second e-mail", LIMIT, async || {
        stage.rabbit.send(&failure("daily")).await;
        sent += 1;
        stage.db.wait_dispatches(sent, &["completed"]).await;
        (stage.smtp.messages().len() == 2).then_some(())
    })
    .await;
    stage.end(worker).await;
}
