//! One message in, one e-mail to each participant, acked at the end: the program, a broker, three
//! databases and an SMTP conversation, all real.

use rstest::rstest;
use serde_json::json;

use crate::support::database::{Kind, TestDatabase};
use crate::support::rabbit::Rabbit;
use crate::support::smtp::{Options, SmtpServer};
use crate::support::worker::Settings;

#[rstest]
#[case(Kind::Sqlite)]
#[case(Kind::Postgres)]
#[case(Kind::Mysql)]
#[tokio::test]
async fn nobody_to_tell(#[case] kind: Kind) {
    let (db, rabbit) = (TestDatabase::new(kind), Rabbit::new().await);
    let smtp = SmtpServer::start(Options::default()).await;
    let worker = Settings::new(&db, &rabbit).relay(&smtp).start().await;
    db.add_people(8, 2);
    rabbit.send(&json!({"type": "UPDATED", "event_id": 7})).await;
    assert_eq!(db.wait_closed().await.status, "completed");
    worker.stop().await;
    assert_eq!(rabbit.ready(&rabbit.broker.queue).await, Some(0));
    assert!(db.rows().is_empty());
    assert!(smtp.attempts().is_empty());
    rabbit.clean().await;
}
