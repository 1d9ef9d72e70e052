//! Tenants beside each other: one's relay that hangs, and one's crowd, hold nobody else up.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::configs::Configs;
use crate::support::database::Kind;
use crate::support::smtp::{Action, At, Options, SmtpServer};
use crate::support::stage::Stage;
use crate::support::until;

const LIMIT: Duration = Duration::from_mins(1);

/// How many of these people were mailed.
fn told(stage: &Stage, prefix: &str) -> usize {
    let messages = stage.smtp.messages();
    messages.iter().filter(|m| m.to.starts_with(prefix)).count()
}

fn event(id: i64, tenant: &str) -> Value {
    json!({"type": "UPDATED", "event_id": id, "tenant_id": tenant})
}

fn own_relay(relay: &SmtpServer, weight: f64) -> Value {
    json!({"enabled": true, "weight": weight,
        "email": {"smtp_host": "127.0.0.1", "smtp_port": relay.port(), "smtp_use_tls": false, "from_email": "a@acme.example"}})
}

/// Relays that take connections, or envelopes, and then say nothing for ever: whoever has another relay is
/// told all the same, and a window of 64 is not used up by the e-mails that hang.
#[tokio::test]
async fn hanging_relays_hold_up_nobody_else() {
    let stage = Stage::new(
        Kind::Sqlite,
        Options {
            offers: &["PIPELINING", "CHUNKING"],
            ..Options::default()
        },
    )
    .await;
    let configs = Configs::new();
    let mut relays = Vec::new();
    for (number, at) in [At::Greeting, At::Mail, At::Data, At::Dot, At::Dot, At::Dot]
        .into_iter()
        .enumerate()
    {
        let relay = SmtpServer::start(
            Options {
                offers: &["PIPELINING"],
                ..Options::default()
            }
            .at(at, Action::Hang),
        )
        .await;
        configs.tenant(&format!("slow{number}"), &own_relay(&relay, 1.0));
        relays.push(relay);
    }
    stage.db.add_people(1, 200);
    stage.db.add_numbered(2, "lucky", 1_000);
    let settings = configs
        .of(stage.settings())
        .set("IN_FLIGHT", 64)
        .set("SHUTDOWN_GRACE", "1s");
    let worker = settings.start().await;
    for number in 0..relays.len() {
        stage.rabbit.send(&event(1, &format!("slow{number}"))).await;
    }
    for relay in &relays {
        until("a connection", Duration::from_secs(30), async || {
            (relay.connections() > 3).then_some(())
        })
        .await;
    }
    stage.rabbit.send(&event(2, "lucky")).await;
    stage.db.wait_count("sent", 1_000).await;
    worker.stop().await;
    stage.rabbit.clean().await;
}

/// Over one relay a tenant's ten go between another's thousands, by weight.
#[tokio::test]
async fn tenants_take_turns() {
    let options = Options::default().at(At::Dot, Action::Delay(Duration::from_millis(10)));
    let stage = Stage::new(Kind::Sqlite, options).await;
    let configs = Configs::new();
    let share = |weight: u32| json!({"enabled": true, "weight": weight});
    configs
        .tenant("large", &share(1))
        .tenant("small", &share(1))
        .tenant("heavy", &share(3));
    stage.db.add_numbered(1, "large", 1_500);
    stage.db.add_numbered(2, "small", 10);
    stage.db.add_numbered(3, "heavy", 300);
    let worker = configs
        .of(stage.settings())
        .set("SMTP_CONNECTIONS", 2)
        .start()
        .await;
    stage.rabbit.send(&event(1, "large")).await;
    stage.db.wait_count("sent", 50).await;
    stage.rabbit.send(&event(2, "small")).await;
    let of_small = async || (told(&stage, "small") == 10).then_some(());
    until("ten of the small tenant", LIMIT, of_small).await;
    let messages = stage.smtp.messages();
    let first = messages
        .iter()
        .position(|m| m.to.starts_with("small"))
        .expect("one of the small tenant's");
    let last = messages
        .iter()
        .rposition(|m| m.to.starts_with("small"))
        .expect("one of the small tenant's");
    assert!(last - first < 30, "ten took {} turns", last - first);

    stage.rabbit.send(&event(3, "heavy")).await;
    let of_heavy = async || (told(&stage, "heavy") == 300).then_some(());
    until("300 of the heavy tenant", LIMIT, of_heavy).await;
    let messages = stage.smtp.messages();
    let first = messages
        .iter()
        .position(|m| m.to.starts_with("heavy"))
        .expect("one of the heavy tenant's");
    let beside = messages[first..]
        .iter()
        .take(200)
        .filter(|m| m.to.starts_with("large"))
        .count();
    assert!(
        (35..=70).contains(&beside),
        "{beside} of 200 beside a weight of 3"
    );
    worker.sigterm();
    drop(worker);
    stage.rabbit.clean().await;
}

/// More messages for dead relays than the broker gives at once: they are parked rather than keeping others out.
#[rstest]
#[case::says_no(At::Greeting, Action::ReplyAndClose("421 not now"))]
#[case::says_nothing(At::Greeting, Action::Hang)]
#[tokio::test]
async fn a_crowd_for_a_dead_relay_keeps_nobody_out(#[case] at: At, #[case] action: Action) {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let dead = SmtpServer::start(Options::default().at(at, action)).await;
    let configs = Configs::new();
    configs.tenant("dead", &own_relay(&dead, 1.0));
    stage.db.add_people(1, 5);
    stage.db.add_numbered(2, "lucky", 10);
    stage.db.add_numbered(3, "first", 1);
    let worker = configs
        .of(stage.settings())
        .set("LAVINMQ_PREFETCH", 3)
        .start()
        .await;
    // The other lane is known.
    stage.rabbit.send(&event(3, "lucky")).await;
    stage.db.wait_count("sent", 1).await;
    for _ in 0..6 {
        stage.rabbit.send(&event(1, "dead")).await;
    }
    stage.rabbit.send(&event(2, "lucky")).await;
    stage.db.wait_count("sent", 11).await;
    // Nobody of theirs is failed for it, and each message is in the ledger.
    let all = async || (stage.db.dispatches().len() == 8).then_some(());
    until("all messages in the ledger", LIMIT, all).await;
    assert!(
        stage
            .db
            .rows()
            .iter()
            .all(|row| row.status == "sent" || row.attempts == 0)
    );
    worker.sigterm();
    drop(worker);
    stage.rabbit.clean().await;
}
