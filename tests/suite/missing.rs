//! What is not there yet, or no more: broker, database, relay, the HTTP port, a sound configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use url::Url;

use crate::support::command::Shell;
use crate::support::database::{Kind, TestDatabase};
use crate::support::mailed::{everybody_once, slow_relay};
use crate::support::proxy::{self, Proxy};
use crate::support::rabbit::{self, Rabbit};
use crate::support::smtp::{Action, At, Options, SmtpServer};
use crate::support::stage::Stage;
use crate::support::until;
use crate::support::worker::{Settings, Worker};

const LIMIT: Duration = Duration::from_secs(30);

/// `url` through a port of ours, and where that has to lead.
fn detour(url: &str) -> (Url, u16, String) {
    let mut url: Url = url.parse().expect("a URL");
    let target = format!("127.0.0.1:{}", url.port().expect("a port"));
    let port = proxy::free_port();
    url.set_port(Some(port)).expect("a URL with a host");
    (url, port, target)
}

/// Waits until `/health` says this.
async fn wait_health(worker: &Worker, code: u16, broker: &str, database: &str) {
    let url = worker.url("/health");
    let what = format!("/health: {code}, broker {broker}, database {database}");
    until(&what, LIMIT, async || {
        let answer = reqwest::get(&url).await.ok()?;
        let seen = answer.status().as_u16();
        let checks = answer.json::<Value>().await.ok()?["checks"].clone();
        let fits = seen == code && checks == json!({"broker": broker, "database": database});
        fits.then_some(())
    })
    .await;
}

async fn publish(rabbit: &Rabbit) {
    rabbit.send(&json!({"type": "UPDATED", "event_id": 7})).await;
}

#[tokio::test]
async fn broker_at_the_start() {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let smtp = SmtpServer::start(Options::default()).await;
    let (url, port, target) = detour(rabbit::address().as_str());
    let settings = Settings::new(&db, &rabbit).set("LAVINMQ_URL", url).relay(&smtp);
    let worker = settings.spawn();
    wait_health(&worker, 503, "down", "ok").await;
    assert_eq!(worker.get("/health/live").await.status(), 200);
    until("the broker is missed", LIMIT, async || {
        worker
            .log()
            .contains("cannot consume from the broker")
            .then_some(())
    })
    .await;
    assert!(!worker.log().contains("guest"), "a password in the log");

    let _link = Proxy::start(port, target).await;
    wait_health(&worker, 200, "ok", "ok").await;
    db.add_people(7, 5);
    publish(&rabbit).await;
    assert_eq!(db.wait_closed().await.status, "completed");
    worker.stop().await;
    everybody_once(&smtp, 5);
    rabbit.clean().await;
}

#[rstest]
#[tokio::test]
async fn database_at_the_start(#[values(Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let (db, rabbit) = (TestDatabase::bare(kind), Rabbit::new().await);
    let smtp = SmtpServer::start(Options::default()).await;
    let (url, port, target) = detour(db.url());
    let worker = Settings::new(&db, &rabbit)
        .set("DATABASE_URL", url)
        .relay(&smtp)
        .spawn();
    wait_health(&worker, 503, "ok", "down").await;
    publish(&rabbit).await;
    until("it says what it waits for", LIMIT, async || {
        worker.log().contains("waiting for the database").then_some(())
    })
    .await;
    assert!(!worker.log().contains("herald:herald"), "a password in the log");
    assert!(!worker.log().contains("url"));

    let _link = Proxy::start(port, target).await;
    wait_health(&worker, 200, "ok", "ok").await;
    assert_eq!(db.wait_closed().await.status, "completed");
    db.add_people(7, 5);
    publish(&rabbit).await;
    db.wait_dispatches(2, &["completed"]).await;
    worker.stop().await;
    everybody_once(&smtp, 5);
    rabbit.clean().await;
}

/// `SQLite` in a folder that is mounted later, for example.
#[tokio::test]
async fn folder_at_the_start() {
    let (db, rabbit) = (TestDatabase::bare(Kind::Sqlite), Rabbit::new().await);
    let folder = tempfile::tempdir().unwrap();
    let later = folder.path().join("later");
    let url = format!("sqlite:///{}/herald.db", later.display());
    let worker = Settings::new(&db, &rabbit).set("DATABASE_URL", url).spawn();
    wait_health(&worker, 503, "ok", "down").await;
    until("it says what it waits for", LIMIT, async || {
        worker.log().contains("waiting for the database").then_some(())
    })
    .await;
    publish(&rabbit).await;
    std::fs::create_dir(&later).unwrap();
    wait_health(&worker, 200, "ok", "ok").await;
    rabbit.wait_counts(0, 0).await;
    worker.stop().await;
    rabbit.clean().await;
}

/// A refusal of the sender is nobody's fault, and asking again at once does not help.
#[tokio::test]
async fn sender_refused() {
    let open = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&open);
    let options = Options::default().script(move |event| {
        let refused = event.at == At::Mail && !opened.load(Ordering::Relaxed);
        refused.then_some(Action::Reply("550 5.7.1 sender is not yours"))
    });
    let stage = Stage::new(Kind::Sqlite, options).await;
    let worker = stage.settings().set("SMTP_CONNECTIONS", 2).start().await;
    stage.db.add_people(7, 50);
    publish(&stage.rabbit).await;
    let said = "the relay refuses this sender";
    until(said, LIMIT, async || worker.log().contains(said).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = stage
        .smtp
        .commands()
        .iter()
        .filter(|(_, c)| c.starts_with("MAIL"))
        .count();
    assert!((1..30).contains(&asked), "MAIL was said {asked} times");
    assert!(
        stage
            .db
            .rows()
            .iter()
            .all(|row| row.status == "pending" && row.attempts == 0)
    );

    open.store(true, Ordering::Relaxed);
    assert_eq!(stage.db.wait_closed().await.status, "completed");
    everybody_once(&stage.smtp, 50);
    stage.end(worker).await;
}

/// Dummy mode without its folder waits as it would for a relay.
#[tokio::test]
async fn dummy_folder() {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("emails");
    std::fs::write(&blocked, "a file").unwrap();
    let settings = Settings::new(&db, &rabbit).set("EMAIL_DUMMY_MODE", true);
    let settings = settings.set("EMAIL_DUMMY_DIR", blocked.display());
    let worker = settings.set("LOG_LEVEL", "DEBUG").start().await;
    db.add_people(7, 50);
    publish(&rabbit).await;
    let said = "the relay cannot be used";
    until(said, LIMIT, async || worker.log().contains(said).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let tries = worker.log().matches("not handed over").count();
    assert!(tries < 200, "{tries} tries");

    std::fs::remove_file(&blocked).unwrap();
    assert_eq!(db.wait_closed().await.status, "completed");
    rabbit.wait_counts(0, 0).await;
    worker.stop().await;
    rabbit.clean().await;
}

/// Nothing to wait for keeps it from stopping.
#[tokio::test]
async fn a_stop_while_everything_is_missing() {
    let (db, rabbit) = (TestDatabase::bare(Kind::Postgres), Rabbit::new().await);
    let (broker, ..) = detour(rabbit::address().as_str());
    let (database, ..) = detour(db.url());
    let mut worker = Settings::new(&db, &rabbit)
        .set("LAVINMQ_URL", broker)
        .set("DATABASE_URL", database)
        .spawn();
    wait_health(&worker, 503, "down", "down").await;
    worker.sigterm();
    let status = worker.wait_exit(Duration::from_secs(8)).await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn relay_at_the_start() {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let port = proxy::free_port();
    let worker = Settings::new(&db, &rabbit)
        .set("EMAIL_DUMMY_MODE", false)
        .set("SMTP_HOST", "127.0.0.1")
        .set("SMTP_PORT", port)
        .set("SMTP_USE_TLS", false)
        .start()
        .await;
    db.add_people(7, 50);
    publish(&rabbit).await;
    let said = "the relay cannot be used";
    until(said, LIMIT, async || worker.log().contains(said).then_some(())).await;
    db.wait_count("pending", 50).await;
    // Some more tries, none of them charged to anybody.
    tokio::time::sleep(Duration::from_secs(2)).await;
    wait_health(&worker, 200, "ok", "ok").await;
    let rows = db.rows();
    assert!(
        rows.iter()
            .all(|row| row.status == "pending" && row.attempts == 0),
        "{rows:#?}"
    );
    assert_eq!(db.dispatch().status, "running");
    assert_eq!(worker.log().matches(said).count(), 1, "one line for the loss");

    let smtp = SmtpServer::start_on(&format!("127.0.0.1:{port}"), Options::default()).await;
    assert_eq!(db.wait_closed().await.status, "completed");
    assert!(worker.log().contains("the relay is back"));
    rabbit.wait_counts(0, 0).await;
    worker.stop().await;
    everybody_once(&smtp, 50);
    assert!(
        db.rows()
            .iter()
            .all(|row| row.status == "sent" && row.attempts == 1)
    );
    rabbit.clean().await;
}

/// The ledger cannot be written for a while: what is in flight is kept, and nobody gets two.
#[rstest]
#[case::within_the_lease(Kind::Postgres, "15s")]
#[case::beyond_the_lease(Kind::Postgres, "2s")]
#[case::mysql(Kind::Mysql, "2s")]
#[tokio::test]
async fn database_in_mid_run(#[case] kind: Kind, #[case] lease: &str) {
    let (db, rabbit) = (TestDatabase::new(kind), Rabbit::new().await);
    let smtp = slow_relay(Duration::from_millis(30)).await;
    let (url, port, target) = detour(db.url());
    let link = Proxy::start(port, target.clone()).await;
    let mut worker = Settings::new(&db, &rabbit)
        .set("DATABASE_URL", url)
        .relay(&smtp)
        .set("LEASE", lease)
        .set("IN_FLIGHT", 64)
        .start()
        .await;
    db.add_people(7, 400);
    publish(&rabbit).await;
    smtp.wait_for(100, LIMIT).await;
    link.cut().await;
    wait_health(&worker, 503, "ok", "down").await;
    // Long enough for a lease of two seconds to run out.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (taken, known) = (smtp.messages().len(), usize::try_from(db.count("sent")).unwrap());
    assert!(taken < 400 && taken - known <= 64, "{taken} taken, {known} known");

    let _link = Proxy::start(port, target).await;
    wait_health(&worker, 200, "ok", "ok").await;
    assert_eq!(db.wait_closed().await.status, "completed");
    rabbit.wait_counts(0, 0).await;
    worker.wait_healthy().await;
    worker.stop().await;
    everybody_once(&smtp, 400);
    assert_eq!(db.count("sent"), 400);
    assert_eq!(db.dispatch().starts, 1);
    rabbit.clean().await;
}

/// A server that closes all its connections, as at its restart.
#[tokio::test]
async fn database_sessions_end_in_mid_run() {
    let (db, rabbit) = (TestDatabase::postgres(), Rabbit::new().await);
    let smtp = slow_relay(Duration::from_millis(30)).await;
    let worker = Settings::new(&db, &rabbit).relay(&smtp).start().await;
    db.add_people(7, 400);
    publish(&rabbit).await;
    for after in [50, 150, 250] {
        smtp.wait_for(after, LIMIT).await;
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }
    assert_eq!(db.wait_closed().await.status, "completed");
    rabbit.wait_counts(0, 0).await;
    worker.stop().await;
    everybody_once(&smtp, 400);
    rabbit.clean().await;
}

#[tokio::test]
async fn http_port_taken() {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let mut worker = Settings::new(&db, &rabbit).set("HTTP_ADDR", addr).spawn();
    let status = worker.wait_exit(LIMIT).await;
    assert_eq!(status.code(), Some(1));
    let said = format!("HTTP_ADDR: {addr}: ");
    assert!(worker.log().lines().any(|line| line.starts_with(&said)));
}

/// All problems at once, none of them with a secret; nothing is created or connected.
#[rstest]
#[tokio::test]
async fn bad_configuration(#[values("run", "doctor", "migrate", "status")] command: &str) {
    let shell = Shell::new()
        .set("LAVINMQ_URL", "http://ann:s3cret-mq@localhost")
        .set("LAVINMQ_PREFETCH", 0)
        .set("DATABASE_URL", "oracle://ann:s3cret-db@localhost/x")
        .set("EMAIL_DUMMY_MODE", "perhaps")
        .set("SMTP_PORT", 70000)
        .set("SMTP_PASSWORD", "s3cret-smtp")
        .set("FROM_EMAIL", "nobody")
        .set("LEASE", "soon")
        .set("HTTP_ADDR", "0.0.0.0:8004")
        .set("API_TOKEN", "");
    let said = shell.herald(&[command]).await;
    assert_eq!(said.code, Some(2), "{said:#?}");
    for name in [
        "LAVINMQ_URL",
        "LAVINMQ_PREFETCH",
        "DATABASE_URL",
        "EMAIL_DUMMY_MODE",
        "SMTP_PORT",
        "SMTP_USERNAME",
        "FROM_EMAIL",
        "LEASE",
        "API_TOKEN",
    ] {
        assert!(said.err.contains(name), "{name} is missing in {said:#?}");
    }
    assert!(!said.all().contains("s3cret"), "{said:#?}");
    assert_eq!(
        std::fs::read_dir(shell.folder()).unwrap().count(),
        0,
        "no file is made"
    );
}
