//! The relay as a whole: what is its fault fails nobody and charges nobody; a dispatch that waits for it
//! holds its message only for so long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::json;
use tokio::sync::watch;

use crate::support::database::{Kind, TestDatabase};
use crate::support::mailed::everybody_once;
use crate::support::rabbit::Rabbit;
use crate::support::smtp::{Action, At, Options, SmtpServer};
use crate::support::stage::Stage;
use crate::support::until;
use crate::support::worker::Settings;

const PEOPLE: usize = 45;
const LIMIT: Duration = Duration::from_mins(1);

async fn publish(rabbit: &Rabbit) {
    rabbit.send(&json!({"type": "UPDATED", "event_id": 7})).await;
}

/// The first `times` events at this point are answered so, whoever it is about.
fn at_first(at: At, times: usize, reply: &'static str) -> Options {
    let seen = AtomicUsize::new(0);
    Options::default().script(move |event| {
        let hit = event.at == at && seen.fetch_add(1, Ordering::SeqCst) < times;
        hit.then_some(Action::Reply(reply))
    })
}

#[rstest]
#[tokio::test]
async fn a_relay_that_denies_everybody_fails_nobody(
    #[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind,
) {
    let (denying, denies) = watch::channel(true);
    let options = Options::default().script(move |event| {
        let denied = event.at == At::Rcpt && *denies.borrow();
        denied.then_some(Action::Reply("554 5.7.1 Relay access denied"))
    });
    let stage = Stage::new(kind, options).await;
    stage.db.add_people(7, PEOPLE);
    let worker = stage.settings().start().await;
    publish(&stage.rabbit).await;
    until("the lane closes", LIMIT, async || {
        worker.log().contains("the relay denies everybody").then_some(())
    })
    .await;
    // Also those that were under way when it closed.
    stage
        .db
        .wait_count("pending", i64::try_from(PEOPLE).unwrap())
        .await;
    denying.send_replace(false);
    assert_eq!(stage.db.wait_closed().await.status, "completed");
    assert!(
        stage
            .db
            .rows()
            .iter()
            .all(|row| row.status == "sent" && row.attempts == 1)
    );
    everybody_once(&stage.smtp, PEOPLE);
    assert!(worker.log().contains("the relay denies everybody"));
    stage.end(worker).await;
}

#[rstest]
#[case::shutting_down(At::Mail, "421 4.3.2 shutting down", 8)]
#[case::busy(At::Mail, "451 4.3.0 busy", 8)]
// A refused sender is asked for once a trial, not once a connection.
#[case::sender(At::Mail, "550 5.7.1 sender refused", 3)]
#[tokio::test]
async fn a_relay_that_takes_nothing_charges_nobody(
    #[case] at: At,
    #[case] reply: &'static str,
    #[case] times: usize,
) {
    let stage = Stage::new(Kind::Sqlite, at_first(at, times, reply)).await;
    stage.db.add_people(7, PEOPLE);
    let worker = stage.settings().set("SMTP_CONNECTIONS", 4).start().await;
    publish(&stage.rabbit).await;
    assert_eq!(stage.db.wait_closed().await.status, "completed");
    assert!(
        stage
            .db
            .rows()
            .iter()
            .all(|row| row.status == "sent" && row.attempts == 1)
    );
    everybody_once(&stage.smtp, PEOPLE);
    stage.end(worker).await;
}

#[tokio::test]
async fn a_dispatch_without_a_relay_is_parked_and_goes_on() {
    let (db, rabbit) = (TestDatabase::new(Kind::Sqlite), Rabbit::new().await);
    db.add_people(7, PEOPLE);
    let gone = SmtpServer::start(Options::default()).await;
    let address = format!("127.0.0.1:{}", gone.port());
    let settings = Settings::new(&db, &rabbit).relay(&gone).set("PARK_AFTER", "1s");
    drop(gone);
    let worker = settings.start().await;
    publish(&rabbit).await;
    let parked = db.wait_dispatches(1, &["waiting"]).await;
    assert_eq!(
        (parked[0].lease_token.as_ref(), parked[0].closed_at),
        (None, None)
    );
    rabbit.wait_counts(0, 0).await;
    assert!(
        db.rows()
            .iter()
            .all(|row| row.status == "pending" && row.attempts == 0)
    );

    let back = SmtpServer::start_on(&address, Options::default()).await;
    assert_eq!(db.wait_closed().await.status, "completed");
    assert!(
        db.rows()
            .iter()
            .all(|row| row.status == "sent" && row.attempts == 1)
    );
    everybody_once(&back, PEOPLE);
    worker.stop().await;
    rabbit.clean().await;
}

#[tokio::test]
async fn a_notification_that_alone_breaks_the_lane_is_its_own_fault() {
    let options = Options::default().script(|event| {
        (event.at == At::Rcpt && event.recipient.starts_with("breaker")).then_some(Action::Close)
    });
    let stage = Stage::new(Kind::Sqlite, options).await;
    stage.db.add(7, &[("breaker@example.com", "B")]);
    stage.db.add_people(7, PEOPLE);
    let settings = stage.settings().set("SMTP_CONNECTIONS", 1).set("MAX_RETRIES", 0);
    let worker = settings.set("RETRY_SCHEDULE", "").start().await;
    publish(&stage.rabbit).await;
    assert_eq!(stage.db.wait_closed().await.status, "partial");
    assert_eq!(stage.db.row("breaker@example.com").status, "failed");
    assert_eq!(stage.db.count("sent"), i64::try_from(PEOPLE).unwrap());
    stage.end(worker).await;
}

#[tokio::test]
async fn the_rate_limit_holds_over_all_connections() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    stage.db.add_people(7, PEOPLE);
    let worker = stage.settings().set("SMTP_RATE_LIMIT", 20).start().await;
    let begun = Instant::now();
    publish(&stage.rabbit).await;
    stage.db.wait_closed().await;
    // The first goes at once, each other one a twentieth of a second after the one before.
    assert!(begun.elapsed() >= Duration::from_millis(50) * (u32::try_from(PEOPLE).unwrap() - 1));
    everybody_once(&stage.smtp, PEOPLE);
    stage.end(worker).await;
}

/// A relay that refuses everybody for now is asked more and more slowly, and at full pace when it is well.
#[tokio::test]
async fn a_relay_that_is_busy_is_not_hammered() {
    let (busy, is_busy) = watch::channel(true);
    let options = Options::default().script(move |event| {
        let refused = event.at == At::Rcpt && *is_busy.borrow();
        refused.then_some(Action::Reply("451 4.3.2 busy"))
    });
    let stage = Stage::new(Kind::Sqlite, options).await;
    stage.db.add_people(7, 200);
    let settings = stage.settings().set("MAX_RETRIES", 100).set("RETRY_DELAY", 0.05);
    let worker = settings.start().await;
    publish(&stage.rabbit).await;
    until("a refusal", LIMIT, async || {
        (!stage.smtp.attempts().is_empty()).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    // 20 connections, each after pauses of 0.1, 0.2, 0.4, 0.8 and 1.6 s; more than a thousand without them.
    let tries = stage.smtp.attempts().len();
    assert!(tries < 300, "{tries} tries in four seconds");
    busy.send_replace(false);
    assert_eq!(stage.db.wait_closed().await.status, "completed");
    everybody_once(&stage.smtp, 200);
    stage.end(worker).await;
}
