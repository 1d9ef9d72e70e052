//! The main job over an encrypted, authenticated relay, and what happens when it is not one.

use std::path::Path;
use std::time::Duration;

use rstest::rstest;
use serde_json::json;

use crate::support::certs::Certs;
use crate::support::database::TestDatabase;
use crate::support::mailed::everybody_once;
use crate::support::rabbit::Rabbit;
use crate::support::smtp::{Options, SmtpServer, Tls};
use crate::support::until;
use crate::support::worker::{Settings, Worker};

const LIMIT: Duration = Duration::from_secs(30);
const USER: &str = "herald@example.com";
const PASSWORD: &str = "c0rrect horse";

fn guarded(tls: Tls) -> Options {
    Options {
        tls,
        auth: Some((USER, PASSWORD)),
        mechanisms: "PLAIN LOGIN",
        ..Options::default()
    }
}

/// The relay at `host`, which is to be trusted because of `ca`, with credentials.
fn settings(db: &TestDatabase, rabbit: &Rabbit, smtp: &SmtpServer, host: &str, ca: &Path) -> Settings {
    Settings::new(db, rabbit)
        .relay(smtp)
        .set("SMTP_HOST", host)
        .set("SMTP_USE_TLS", true)
        .set("SMTP_TLS_CA", ca.display())
        .set("SMTP_USERNAME", USER)
        .set("SMTP_PASSWORD", PASSWORD)
}

async fn publish(db: &TestDatabase, rabbit: &Rabbit, people: usize) {
    db.add_people(7, people);
    rabbit.send(&json!({"type": "UPDATED", "event_id": 7})).await;
}

/// Nobody got anything, nobody is charged, and the log says why, without a secret.
async fn check_nothing_sent(db: &TestDatabase, rabbit: Rabbit, smtp: &SmtpServer, worker: Worker, why: &str) {
    until(why, LIMIT, async || worker.log().contains(why).then_some(())).await;
    let tried = smtp.connections();
    until("another try", LIMIT, async || {
        (smtp.connections() > tried).then_some(())
    })
    .await;
    db.wait_count("pending", 5).await;
    assert!(
        db.rows()
            .iter()
            .all(|row| row.status == "pending" && row.attempts == 0)
    );
    assert_eq!(worker.get("/health").await.status(), 200);
    let log = worker.log();
    for secret in [PASSWORD, "wr0ng"] {
        assert!(!log.contains(secret), "{secret} in the log");
    }
    assert!(smtp.messages().is_empty());
    assert!(smtp.attempts().is_empty(), "not even a recipient was named");
    worker.stop().await;
    rabbit.wait_ready(1).await;
    rabbit.clean().await;
}

#[tokio::test]
async fn main_job_over_starttls() {
    let certs = Certs::make();
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let smtp = SmtpServer::start(guarded(Tls::StartTls(certs.acceptor()))).await;
    let settings = settings(&db, &rabbit, &smtp, "localhost", &certs.ca());
    let worker = settings.start().await;
    publish(&db, &rabbit, 250).await;
    assert_eq!(db.wait_closed().await.status, "completed");
    worker.stop().await;
    everybody_once(&smtp, 250);
    let messages = smtp.messages();
    assert!(messages.iter().all(|m| m.tls && m.user.as_deref() == Some(USER)));
    assert!(smtp.connections() <= 20, "connections are kept");
    assert_eq!(rabbit.ready(&rabbit.broker.queue).await, Some(0));
    rabbit.clean().await;
}

/// Port 465, which only an address of our own is sure to have free.
#[tokio::test]
async fn main_job_over_implicit_tls() {
    let [a, b, ..] = *uuid::Uuid::new_v4().as_bytes();
    let host = format!("127.{}.{}.7", 1 + a % 200, b);
    if let Err(error) = std::net::TcpListener::bind((host.as_str(), 465))
        && error.kind() == std::io::ErrorKind::PermissionDenied
    {
        // The relay's own test speaks implicit TLS on another port.
        return;
    }
    let certs = Certs::make_for(&format!("IP:{host}"));
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let smtp = SmtpServer::start_on(&format!("{host}:465"), guarded(Tls::Implicit(certs.acceptor()))).await;
    let worker = settings(&db, &rabbit, &smtp, &host, &certs.ca()).start().await;
    publish(&db, &rabbit, 50).await;
    assert_eq!(db.wait_closed().await.status, "completed");
    worker.stop().await;
    everybody_once(&smtp, 50);
    assert!(smtp.messages().iter().all(|m| m.tls));
    rabbit.clean().await;
}

/// Somebody on the way removes STARTTLS from the reply to EHLO.
#[tokio::test]
async fn stripped_starttls() {
    let certs = Certs::make();
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let smtp = SmtpServer::start(guarded(Tls::No)).await;
    let settings = settings(&db, &rabbit, &smtp, "localhost", &certs.ca());
    let worker = settings.start().await;
    publish(&db, &rabbit, 5).await;
    let why = "the relay does not offer STARTTLS";
    let commands = async || smtp.commands();
    until("EHLO", LIMIT, async || commands().await.pop()).await;
    assert!(
        commands()
            .await
            .iter()
            .all(|(_, line)| line.starts_with("EHLO") || line == "QUIT"),
        "nothing but a greeting in plain text"
    );
    check_nothing_sent(&db, rabbit, &smtp, worker, why).await;
}

/// A relay whose certificate is signed by somebody else, or made out to another name.
#[rstest]
#[case::authority("DNS:localhost", false)]
#[case::name("DNS:relay.example.net", true)]
#[tokio::test]
async fn wrong_certificate(#[case] names: &str, #[case] same_authority: bool) {
    let (certs, others) = (Certs::make_for(names), Certs::make());
    let ca = if same_authority { certs.ca() } else { others.ca() };
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let smtp = SmtpServer::start(guarded(Tls::StartTls(certs.acceptor()))).await;
    let worker = settings(&db, &rabbit, &smtp, "localhost", &ca).start().await;
    publish(&db, &rabbit, 5).await;
    check_nothing_sent(&db, rabbit, &smtp, worker, "certificate").await;
}

#[tokio::test]
async fn wrong_password() {
    let certs = Certs::make();
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let smtp = SmtpServer::start(guarded(Tls::StartTls(certs.acceptor()))).await;
    let settings = settings(&db, &rabbit, &smtp, "localhost", &certs.ca()).set("SMTP_PASSWORD", "wr0ng");
    let worker = settings.start().await;
    publish(&db, &rabbit, 5).await;
    check_nothing_sent(&db, rabbit, &smtp, worker, "the relay refuses this sender").await;
}

/// The password is mended: the same message is worked off, nobody was lost.
#[tokio::test]
async fn mended_password() {
    let certs = Certs::make();
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let smtp = SmtpServer::start(guarded(Tls::StartTls(certs.acceptor()))).await;
    let right = settings(&db, &rabbit, &smtp, "localhost", &certs.ca());
    let worker = right.clone().set("SMTP_PASSWORD", "wr0ng").start().await;
    publish(&db, &rabbit, 5).await;
    let why = "535 5.7.8";
    until(why, LIMIT, async || worker.log().contains(why).then_some(())).await;
    worker.stop().await;
    let worker = right.start().await;
    assert_eq!(db.wait_closed().await.status, "completed");
    worker.stop().await;
    everybody_once(&smtp, 5);
    assert!(db.rows().iter().all(|row| row.attempts == 1));
    rabbit.clean().await;
}
