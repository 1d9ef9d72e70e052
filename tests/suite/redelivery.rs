//! A message that comes again: adopted while it is in work, acked without sending when it is done, and
//! told apart from another one with the same body.

use std::time::Duration;

use lapin::BasicProperties;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::database::{Kind, TestDatabase};
use crate::support::mailed::{by_recipient, everybody_once, slow_relay};
use crate::support::proxy::{self, Proxy};
use crate::support::rabbit::{self, Rabbit};
use crate::support::smtp::{Options, SmtpServer};
use crate::support::worker::Settings;

const PEOPLE: usize = 400;
const LIMIT: Duration = Duration::from_secs(30);

fn message() -> Value {
    json!({"type": "UPDATED", "event_id": 7})
}

async fn publish(rabbit: &Rabbit, id: Option<&str>) {
    let properties = BasicProperties::default().with_delivery_mode(2);
    let properties = match id {
        Some(id) => properties.with_message_id(id.into()),
        None => properties,
    };
    rabbit.publish(message().to_string().as_bytes(), properties).await;
}

#[rstest]
#[tokio::test]
async fn a_lost_connection_is_no_new_message(
    #[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind,
    #[values(Some("m-1"), None)] id: Option<&str>,
) {
    let (db, rabbit) = (TestDatabase::new(kind), Rabbit::new().await);
    let smtp = slow_relay(Duration::from_millis(100)).await;
    let mut worker = Settings::new(&db, &rabbit)
        .relay(&smtp)
        .set("LEASE", 3)
        .start()
        .await;
    db.add_people(7, PEOPLE);
    let connection = rabbit.consuming_connection().await;
    publish(&rabbit, id).await;
    smtp.wait_for(40, LIMIT).await;
    assert!(rabbit.close(&connection).await);
    assert!(smtp.messages().len() < PEOPLE, "closed too late");
    assert_eq!(db.wait_closed().await.status, "completed");
    worker.wait_healthy().await;
    rabbit.wait_counts(0, 0).await;
    worker.stop().await;
    everybody_once(&smtp, PEOPLE);
    let dispatch = db.dispatch();
    assert_eq!(dispatch.starts, 1, "it was adopted, not begun again");
    assert!(dispatch.ack_proven);
    rabbit.clean().await;
}

/// The connection breaks again and again, so the message comes again and again.
#[tokio::test]
async fn several_broken_connections() {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let smtp = slow_relay(Duration::from_millis(60)).await;
    let port = proxy::free_port();
    let target = rabbit::address();
    let target = format!("127.0.0.1:{}", target.port().unwrap());
    let mut link = Proxy::start(port, target.clone()).await;
    let mut url = rabbit::address();
    url.set_port(Some(port)).unwrap();
    let mut worker = Settings::new(&db, &rabbit)
        .set("LAVINMQ_URL", url)
        .relay(&smtp)
        .set("SMTP_CONNECTIONS", 8)
        .start()
        .await;
    db.add_people(7, PEOPLE);
    publish(&rabbit, Some("m-1")).await;
    for after in [50, 150, 250] {
        smtp.wait_for(after, LIMIT).await;
        link.cut().await;
        link = Proxy::start(port, target.clone()).await;
    }
    assert!(smtp.messages().len() < PEOPLE, "broken too late");
    assert_eq!(db.wait_closed().await.status, "completed");
    worker.wait_healthy().await;
    rabbit.wait_counts(0, 0).await;
    worker.stop().await;
    everybody_once(&smtp, PEOPLE);
    assert_eq!(db.dispatch().starts, 1);
    rabbit.clean().await;
}

/// The second copy arrives while the first is in work, at this worker or at the other one.
#[rstest]
#[tokio::test]
async fn the_same_id_twice_at_once(#[values(Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let (db, rabbit) = (TestDatabase::new(kind), Rabbit::new().await);
    let smtp = slow_relay(Duration::from_millis(20)).await;
    let settings = Settings::new(&db, &rabbit).relay(&smtp);
    let (one, two) = (settings.start().await, settings.start().await);
    db.add_people(7, PEOPLE);
    let (first, second) = (publish(&rabbit, Some("m-1")), publish(&rabbit, Some("m-1")));
    tokio::join!(first, second);
    assert_eq!(db.wait_closed().await.status, "completed");
    rabbit.wait_counts(0, 0).await;
    one.stop().await;
    two.stop().await;
    everybody_once(&smtp, PEOPLE);
    assert_eq!(db.dispatch().starts, 1);
    assert_eq!(rabbit.ready(&rabbit.broker.queue).await, Some(0));
    rabbit.clean().await;
}

#[tokio::test]
async fn the_same_id_many_times_at_one_worker() {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let smtp = slow_relay(Duration::from_millis(20)).await;
    let worker = Settings::new(&db, &rabbit).relay(&smtp).start().await;
    db.add_people(7, 100);
    for _ in 0..10 {
        publish(&rabbit, Some("m-1")).await;
    }
    db.wait_closed().await;
    rabbit.wait_counts(0, 0).await;
    worker.stop().await;
    everybody_once(&smtp, 100);
    assert_eq!(db.dispatch().starts, 1);
    rabbit.clean().await;
}

/// As when the worker died between the last commit and the ack.
#[rstest]
#[tokio::test]
async fn a_done_id_is_acked_without_sending(
    #[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind,
    #[values(false, true)] restarted: bool,
) {
    let (db, rabbit) = (TestDatabase::new(kind), Rabbit::new().await);
    let smtp = SmtpServer::start(Options::default()).await;
    let settings = Settings::new(&db, &rabbit).relay(&smtp);
    let mut worker = settings.start().await;
    db.add_people(7, 5);
    publish(&rabbit, Some("m-1")).await;
    db.wait_closed().await;
    rabbit.wait_counts(0, 0).await;
    if restarted {
        worker.stop().await;
        worker = settings.start().await;
    }
    db.add_numbered(7, "later", 1);
    publish(&rabbit, Some("m-1")).await;
    let log = "the ledger has this message already";
    crate::support::until(log, LIMIT, async || worker.log().contains(log).then_some(())).await;
    rabbit.wait_counts(0, 0).await;
    worker.stop().await;
    everybody_once(&smtp, 5);
    assert_eq!(db.dispatch().starts, 1);
    assert_eq!(rabbit.ready(&rabbit.dead()).await.unwrap_or(0), 0);
    rabbit.clean().await;
}

/// Equal bodies without an id are two messages, whether one after the other or at once.
#[rstest]
#[tokio::test]
async fn equal_bodies_without_id(
    #[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind,
    #[values(false, true)] at_once: bool,
) {
    let (db, rabbit) = (TestDatabase::new(kind), Rabbit::new().await);
    let smtp = slow_relay(Duration::from_millis(20)).await;
    let worker = Settings::new(&db, &rabbit).relay(&smtp).start().await;
    db.add_people(7, 60);
    publish(&rabbit, None).await;
    if !at_once {
        db.wait_closed().await;
        rabbit.wait_counts(0, 0).await;
    }
    publish(&rabbit, None).await;
    db.wait_dispatches(2, &["completed"]).await;
    rabbit.wait_counts(0, 0).await;
    worker.stop().await;
    let found = by_recipient(smtp.messages());
    assert_eq!(found.len(), 60);
    assert!(found.values().all(|copies| copies.len() == 2));
    rabbit.clean().await;
}

/// The same at two workers: the second learns from the first one's beat that it has a delivery of its own.
#[tokio::test]
async fn equal_bodies_without_id_at_two_workers() {
    let (db, rabbit) = (TestDatabase::postgres(), Rabbit::new().await);
    let smtp = slow_relay(Duration::from_millis(200)).await;
    let settings = Settings::new(&db, &rabbit).relay(&smtp).set("LEASE", 3);
    let (one, two) = (settings.start().await, settings.start().await);
    db.add_people(7, 200);
    publish(&rabbit, None).await;
    publish(&rabbit, None).await;
    db.wait_dispatches(2, &["completed"]).await;
    rabbit.wait_counts(0, 0).await;
    one.stop().await;
    two.stop().await;
    let found = by_recipient(smtp.messages());
    assert_eq!(found.len(), 200);
    assert!(found.values().all(|copies| copies.len() == 2));
    rabbit.clean().await;
}
