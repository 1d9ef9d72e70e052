//! A relay that is away keeps back its own e-mails and nothing else: no post, no other tenant's waiting
//! dispatch, and not what has another way now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::configs::Configs;
use crate::support::database::Kind;
use crate::support::slack::{self, SlackServer};
use crate::support::smtp::{Action, At, Options, SmtpServer};
use crate::support::stage::Stage;
use crate::support::until;
use crate::support::worker::Settings;

const LIMIT: Duration = Duration::from_secs(40);

/// Takes no conversation.
fn away() -> Options {
    Options::default()
        .script(|event| (event.at == At::Greeting).then_some(Action::ReplyAndClose("421 not now")))
}

fn settings(stage: &Stage, configs: &Configs) -> Settings {
    configs
        .of(stage.settings())
        .set("SLACK_ALLOW_INSECURE_HOSTS", "127.0.0.1")
        .set("LEASE", 2)
}

fn own_relay(relay: &SmtpServer) -> Value {
    json!({"enabled": true, "email": {"smtp_host": "127.0.0.1", "smtp_port": relay.port(), "smtp_use_tls": false,
        "from_email": "a@acme.example"}})
}

fn event(id: i64, tenant: &str) -> Value {
    json!({"type": "UPDATED", "event_id": id, "tenant_id": tenant})
}

#[tokio::test]
async fn posts_go_out_while_the_relay_is_away() {
    let stage = Stage::new(Kind::Sqlite, away()).await;
    let slack = SlackServer::start(slack::Options::default()).await;
    let webhook = json!({"webhook_url": slack.url("/services/T0/B0/s3cret")});
    let configs = Configs::new();
    configs
        .root(
            &json!({"enabled": true, "slack": webhook, "default_provider": "both",
                      "email": {"to_emails": ["ops@example.com"]}}),
        )
        .tenant("chat", &json!({"enabled": true, "slack": webhook}));
    let worker = settings(&stage, &configs).set("PARK_AFTER", "1s").start().await;
    let failure = |tenant| json!({"type": "pipeline_failure", "tenant_id": tenant});
    stage.rabbit.send(&failure(None)).await;
    stage.db.wait_dispatches(1, &["waiting"]).await;
    assert_eq!(slack.requests().len(), 1);

    // The relay has been away for long when these come.
    stage.rabbit.send(&failure(None)).await;
    stage.rabbit.send(&failure(Some("chat"))).await;
    slack.wait_for(3, LIMIT).await;
    let dispatches = stage.db.wait_dispatches(3, &["completed", "waiting"]).await;
    let waiting = dispatches.iter().filter(|d| d.status == "waiting").count();
    assert_eq!(waiting, 2);
    assert_eq!((stage.db.count("sent"), stage.db.count("pending")), (3, 2));
    stage.end(worker).await;
}

#[tokio::test]
async fn waiting_dispatches_of_others_are_taken_up() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let down = SmtpServer::start(away()).await;
    let fine = SmtpServer::start(Options::default().script(move |event| {
        let refuses = event.at == At::Greeting && !is_mended.load(Ordering::SeqCst);
        refuses.then_some(Action::ReplyAndClose("421 not now"))
    }))
    .await;
    let configs = Configs::new();
    configs
        .tenant("down", &own_relay(&down))
        .tenant("fine", &own_relay(&fine));
    stage.db.add_people(7, 1);
    let parks = settings(&stage, &configs).set("PARK_AFTER", "1s");
    let worker = parks.start().await;
    for _ in 0..20 {
        stage.rabbit.send(&event(7, "down")).await;
    }
    stage.db.wait_dispatches(20, &["waiting"]).await;
    stage.rabbit.send(&event(7, "fine")).await;
    stage.db.wait_dispatches(21, &["waiting"]).await;
    worker.stop().await;

    // A worker that knows nothing of either relay takes up the oldest first.
    mended.store(true, Ordering::SeqCst);
    let worker = settings(&stage, &configs).start().await;
    stage.db.wait_count("sent", 1).await;
    assert_eq!((fine.messages().len(), stage.db.count("pending")), (1, 20));
    stage.end(worker).await;
}

#[tokio::test]
async fn a_relay_that_was_replaced_is_not_waited_for() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let (down, up) = (
        SmtpServer::start(away()).await,
        SmtpServer::start(Options::default()).await,
    );
    let configs = Configs::new();
    configs.tenant("acme", &own_relay(&down));
    stage.db.add_people(7, 3);
    let worker = settings(&stage, &configs).set("PARK_AFTER", "1s").start().await;
    stage.rabbit.send(&event(7, "acme")).await;
    stage.db.wait_dispatches(1, &["waiting"]).await;
    configs.tenant("acme", &own_relay(&up));
    stage.db.wait_closed().await;
    assert_eq!(up.messages().len(), 3);
    stage.end(worker).await;
}

/// What is suspected of ending the process is served alone, but not while its relay is away.
#[tokio::test]
async fn a_quarantine_that_cannot_go_on_holds_up_nobody() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let down = SmtpServer::start(away()).await;
    let configs = Configs::new();
    configs
        .tenant("down", &own_relay(&down))
        .tenant("fine", &own_relay(&stage.smtp));
    stage.db.add_people(7, 3);
    let settings = settings(&stage, &configs);
    let mut worker = settings.start().await;
    stage.rabbit.send(&event(7, "down")).await;
    let tried = async || (down.connections() > 0).then_some(());
    until("a connection", LIMIT, tried).await;
    worker.kill9();
    worker.wait_exit(LIMIT).await;
    stage.db.execute("UPDATE dispatches SET vain_starts = 2");

    let seen = down.connections();
    let worker = settings.start().await;
    let tried = async || (down.connections() > seen).then_some(());
    until("another connection", LIMIT, tried).await;
    stage.rabbit.send(&event(7, "fine")).await;
    stage.db.wait_count("sent", 3).await;
    assert_eq!((stage.smtp.messages().len(), down.messages().len()), (3, 0));
    worker.stop().await;
    stage.rabbit.clean().await;
}
