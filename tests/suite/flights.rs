//! E-mails that are under way together: what is certain of each when something happens in between.

use std::time::Duration;

use herald::config::{RelayConfig, TlsMode};
use herald::domain::{DispatchId, EmailAddress, NotificationId};
use herald::mailer::{Handover, Parcel, Relay};
use rstest::rstest;
use serde_json::json;

use crate::support::certs::Certs;
use crate::support::database::TestDatabase;
use crate::support::rabbit::Rabbit;
use crate::support::relay::plain_relay;
use crate::support::smtp::{Action, At, Event, Options, SmtpServer, Tls};
use crate::support::until;
use crate::support::worker::Settings;

const LIMIT: Duration = Duration::from_mins(1);

fn address(text: &str) -> EmailAddress {
    text.parse().expect("an address")
}

fn parcel<'a>(from: &'a EmailAddress, to: &'a EmailAddress, size: usize) -> Parcel<'a> {
    let mut email = b"Subject: x\r\n\r\n".to_vec();
    while email.len() < size {
        email.extend_from_slice(b"0123456789012345678901234567890123456789\r\n");
    }
    Parcel {
        dispatch: DispatchId::generate(),
        notification: NotificationId(1),
        from,
        to,
        email: email.into(),
    }
}

/// Every e-mail that the relay took has to be `sent` or `unknown` after a second signal.
#[tokio::test]
async fn a_second_signal_within_a_flight_forgets_nobody() {
    let mut silent = 0;
    for _ in 0..3 {
        let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
        let options = Options {
            offers: &["PIPELINING", "CHUNKING"],
            ..Options::default()
        };
        let smtp = SmtpServer::start(options.at(At::Dot, Action::Delay(Duration::from_millis(3)))).await;
        let settings = Settings::new(&db, &rabbit)
            .relay(&smtp)
            .set("SMTP_CONNECTIONS", 8)
            .set("SHUTDOWN_GRACE", "10m");
        let mut worker = settings.start().await;
        db.add_people(7, 4000);
        rabbit.send(&json!({"type": "UPDATED", "event_id": 7})).await;
        smtp.wait_for(600, LIMIT).await;
        worker.sigterm();
        until("first", LIMIT, async || {
            worker.log().contains("stopping: work in flight").then_some(())
        })
        .await;
        worker.sigterm();
        worker.wait_exit(Duration::from_secs(20)).await;
        let rows = db.rows();
        let taken = smtp.messages();
        for m in &taken {
            let row = rows
                .iter()
                .find(|r| r.recipient.as_deref() == Some(m.to.as_str()));
            if row.is_some_and(|r| r.status == "pending") {
                silent += 1;
            }
        }
        rabbit.clean().await;
    }
    assert_eq!(silent, 0, "taken by the relay, pending in the ledger");
}

/// The socket fails in the middle of a write under TLS, after some of it had left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_under_tls_does_not_hide_what_left() {
    let certs = Certs::make();
    let mut hidden = 0;
    for _ in 0..10 {
        let options = Options {
            tls: Tls::Implicit(certs.acceptor()),
            offers: &["PIPELINING", "CHUNKING"],
            ..Options::default()
        };
        let smtp = SmtpServer::start(options.at(At::Dot, Action::AcceptAndReset)).await;
        let config = RelayConfig {
            tls: TlsMode::Implicit,
            tls_ca: Some(certs.ca()),
            ..plain_relay(smtp.port())
        };
        let relay = Relay::new(&config).expect("a relay");
        let mut conversation = relay.connect().await.expect("a conversation");
        let (from, to) = (address("news@example.com"), address("ann@example.com"));
        for n in 0..8 {
            let size = if n == 0 { 200 } else { 200_000 };
            conversation.add(parcel(&from, &to, size));
        }
        let outcomes = conversation.advance(|_| true).await;
        if smtp.messages().len() == 1 && matches!(outcomes[0], Handover::Unsent(_)) {
            hidden += 1;
        }
    }
    assert_eq!(hidden, 0, "accepted by the relay and called unsent");
}

/// A relay that thinks for long over each e-mail is not hung up on.
#[tokio::test]
async fn a_slow_relay_keeps_its_connection() {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let options = Options {
        offers: &["PIPELINING"],
        ..Options::default()
    };
    let smtp = SmtpServer::start(options.at(At::Dot, Action::Delay(Duration::from_millis(2500)))).await;
    let settings = Settings::new(&db, &rabbit)
        .relay(&smtp)
        .set("SMTP_CONNECTIONS", 1);
    let worker = settings.start().await;
    db.add_people(7, 4);
    rabbit.send(&json!({"type": "UPDATED", "event_id": 7})).await;
    smtp.wait_for(4, LIMIT).await;
    assert_eq!(smtp.connections(), 1);
    worker.stop().await;
    rabbit.clean().await;
}

/// The relay breaks a connection that has lain idle: that costs one e-mail's certainty at most.
#[rstest]
#[case(&["PIPELINING"], 0)]
#[case(&["PIPELINING", "CHUNKING"], 1)]
#[tokio::test]
async fn an_idle_connection_that_dies(#[case] offers: &'static [&'static str], #[case] unknown: usize) {
    let options = Options {
        offers,
        ..Options::default()
    };
    let second = |line: &str| line.contains("second");
    let script = move |event: &Event| (event.at == At::Mail && second(&event.line)).then_some(Action::Reset);
    let smtp = SmtpServer::start(options.script(script)).await;
    let config = plain_relay(smtp.port());
    let mut conversation = Relay::new(&config)
        .expect("a relay")
        .connect()
        .await
        .expect("a conversation");
    let to = address("ann@example.com");
    let [first, second] = ["first@example.com", "second@example.com"].map(address);
    conversation.add(parcel(&first, &to, 100));
    conversation.advance(|_| true).await;
    assert!(conversation.room() > 1, "several, as long as it is fresh");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    while conversation.room() > 0 {
        conversation.add(parcel(&second, &to, 100));
    }
    let all = conversation.advance(|_| true).await;
    let seen = all.iter().filter(|h| matches!(h, Handover::Unknown(_))).count();
    assert_eq!((all.len(), seen), (1, unknown));
}

/// One of two connections hangs: the others' recipients do not wait for it, but for those that were behind it
/// in its flight.
#[rstest]
#[case::greeting(At::Greeting, &["PIPELINING"], 200)]
#[case::dot(At::Dot, &["PIPELINING"], 199)]
#[case::chunk(At::Dot, &["PIPELINING", "CHUNKING"], 192)]
#[tokio::test]
async fn a_hang_costs_its_own_slot(
    #[case] at: At,
    #[case] offers: &'static [&'static str],
    #[case] told: usize,
) {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let options = Options {
        offers,
        ..Options::default()
    };
    let script = move |event: &Event| {
        if event.at == at && event.connection == 2 {
            return Some(Action::Hang);
        }
        (event.at == At::Dot).then_some(Action::Delay(Duration::from_millis(5)))
    };
    let smtp = SmtpServer::start(options.script(script)).await;
    let settings = Settings::new(&db, &rabbit)
        .relay(&smtp)
        .set("SMTP_CONNECTIONS", 2)
        .set("SHUTDOWN_GRACE", 1);
    db.add_people(7, 200);
    let worker = settings.start().await;
    rabbit.send(&json!({"type": "UPDATED", "event_id": 7})).await;
    smtp.wait_for(told, Duration::from_secs(20)).await;
    worker.stop().await;
    rabbit.clean().await;
}
