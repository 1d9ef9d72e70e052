//! kill -9 in mid-run: the message comes back and everybody is mailed. At most IN_FLIGHT e-mails go out
//! twice, each time with the same bytes. A worker that is provably dead is not waited for; one that is
//! only silent is overtaken after LEASE.

use std::time::Duration;

use lapin::BasicProperties;
use rstest::rstest;
use serde_json::json;

use crate::support::database::{Kind, TestDatabase};
use crate::support::mailed::{message_id, slow_relay, surplus};
use crate::support::rabbit::Rabbit;
use crate::support::smtp::{Action, At, Options, SmtpServer};
use crate::support::until;
use crate::support::worker::Settings;

const PEOPLE: usize = 400;
const IN_FLIGHT: usize = 32;

/// Waiting for it would fail the tests that should not have to.
const LONG_LEASE: u64 = 60;

struct Scene {
    db: TestDatabase,
    rabbit: Rabbit,
    smtp: SmtpServer,
    settings: Settings,
}

impl Scene {
    async fn new(kind: Kind, lease: u64) -> Self {
        let (db, rabbit) = (TestDatabase::new(kind), Rabbit::new().await);
        let smtp = slow_relay(Duration::from_millis(30)).await;
        db.add_people(7, PEOPLE);
        let settings = Settings::new(&db, &rabbit)
            .relay(&smtp)
            .set("IN_FLIGHT", IN_FLIGHT)
            .set("BATCH_SIZE", 50)
            .set("LEASE", lease);
        Self {
            db,
            rabbit,
            smtp,
            settings,
        }
    }

    async fn publish(&self, named: bool) {
        let message = json!({"type": "UPDATED", "event_id": 7});
        if named {
            self.rabbit.send(&message).await;
        } else {
            let body = message.to_string();
            self.rabbit
                .publish(body.as_bytes(), BasicProperties::default())
                .await;
        }
    }

    /// Waits until `count` e-mails were taken, but not all.
    async fn mid_run(&self, count: usize) {
        let seen = if count == 0 {
            let limit = Duration::from_secs(30);
            until("a dispatch", limit, async || self.db.dispatches().pop()).await;
            self.smtp.messages()
        } else {
            self.smtp.wait_for(count, Duration::from_secs(30)).await
        };
        assert!(seen.len() < PEOPLE, "too late to be in mid-run");
    }

    /// Everybody has it, the ledger says so, nothing is left in the queue (when the workers are gone).
    async fn check(self) {
        assert_eq!(self.db.count("sent"), 400, "{:?}", self.db.counts());
        assert_eq!(self.db.rows().len(), PEOPLE);
        let surplus = surplus(&self.smtp, PEOPLE);
        assert!(surplus <= IN_FLIGHT, "{surplus} copies");
        assert_eq!(self.rabbit.ready(&self.rabbit.broker.queue).await, Some(0));
        self.rabbit.clean().await;
    }

    /// The only dispatch is done within `limit`.
    async fn closed_within(&self, limit: Duration) {
        let status = until("the dispatch is closed", limit, async || {
            let dispatch = self.db.dispatch();
            dispatch.closed_at.map(|_| dispatch.status)
        })
        .await;
        assert_eq!(status, "completed");
    }
}

async fn kill_and_restart(kind: Kind, after: usize, named: bool) {
    let scene = Scene::new(kind, LONG_LEASE).await;
    let mut worker = scene.settings.start().await;
    scene.publish(named).await;
    scene.mid_run(after).await;
    worker.kill9();
    assert!(scene.db.count("sent") < 400, "killed too late");
    let worker = scene.settings.start().await;
    scene.closed_within(Duration::from_secs(30)).await;
    assert!(worker.log().contains("taking over a dispatch"));
    worker.stop().await;
    scene.check().await;
}

#[rstest]
#[tokio::test]
async fn killed_in_mid_run(
    #[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind,
    #[values(true, false)] named: bool,
) {
    kill_and_restart(kind, 100, named).await;
}

#[rstest]
#[tokio::test]
async fn killed_at_other_moments(#[values(0, 1, 37, 250, 340)] after: usize) {
    kill_and_restart(Kind::Sqlite, after, true).await;
}

/// The relay takes an e-mail on each connection and never says so: the next worker hands those over again,
/// and it takes a second for its times to be others than the first one's.
#[tokio::test]
async fn copies_have_the_same_bytes() {
    const CONNECTIONS: usize = 5;
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let smtp = SmtpServer::start(Options::default().script(|event| {
        let first = event.at == At::Dot && event.connection <= CONNECTIONS;
        first.then_some(Action::AcceptAndHang)
    }))
    .await;
    let settings = Settings::new(&db, &rabbit)
        .relay(&smtp)
        .set("SMTP_CONNECTIONS", CONNECTIONS)
        .set("UNSUBSCRIBE_URL", "https://example.com/u/{participant_id}");
    db.add_people(7, 20);
    let mut worker = settings.start().await;
    let event = json!({"title": "Tr\u{e4}ume", "starts_at": "2027-01-01T18:00:00+01:00",
        "ends_at": "2027-01-01T20:00:00+01:00", "timezone": "Europe/Berlin", "location": "Hall 2"});
    let message = json!({"type": "UPDATED", "event_id": 7, "event": event});
    rabbit.send(&message).await;
    smtp.wait_for(CONNECTIONS, Duration::from_secs(30)).await;
    worker.kill9();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let worker = settings.start().await;
    assert_eq!(db.wait_closed().await.status, "completed");
    worker.stop().await;
    assert_eq!(surplus(&smtp, 20), CONNECTIONS);
    for message in smtp.messages() {
        assert_eq!(message_id(&message), db.row(&message.to).message_id);
        let text = String::from_utf8_lossy(&message.raw);
        assert!(text.contains("text/calendar"), "{text}");
    }
    rabbit.clean().await;
}

#[tokio::test]
async fn killed_twice() {
    let scene = Scene::new(Kind::Sqlite, LONG_LEASE).await;
    let mut worker = scene.settings.start().await;
    scene.publish(true).await;
    scene.mid_run(80).await;
    worker.kill9();
    let mut worker = scene.settings.start().await;
    scene.mid_run(220).await;
    worker.kill9();
    let worker = scene.settings.start().await;
    scene.closed_within(Duration::from_secs(30)).await;
    worker.stop().await;
    assert_eq!(scene.db.dispatch().starts, 3);
    assert_eq!(scene.db.count("sent"), 400);
    assert!(surplus(&scene.smtp, PEOPLE) <= 2 * IN_FLIGHT);
    scene.rabbit.clean().await;
}

#[rstest]
#[tokio::test]
async fn another_worker_takes_over(#[values(true, false)] named: bool) {
    let scene = Scene::new(Kind::Postgres, LONG_LEASE).await;
    let (one, two) = (scene.settings.start().await, scene.settings.start().await);
    scene.publish(named).await;
    scene.mid_run(100).await;
    let (mut holder, other) = if one.log().contains("dispatch started") {
        (one, two)
    } else {
        (two, one)
    };
    assert!(!other.log().contains("dispatch started"));
    holder.kill9();
    scene.closed_within(Duration::from_secs(30)).await;
    assert!(other.log().contains("dispatch started"));
    other.stop().await;
    scene.check().await;
}

/// Both have the message, one is frozen while it sends: the other may only take over after LEASE, and the
/// first must not send on when it wakes.
#[tokio::test]
async fn a_frozen_worker_is_overtaken() {
    let scene = Scene::new(Kind::Postgres, 2).await;
    let (one, two) = (scene.settings.start().await, scene.settings.start().await);
    let message = json!({"type": "UPDATED", "event_id": 7});
    scene.rabbit.send_as("twice", &message).await;
    scene.rabbit.send_as("twice", &message).await;
    scene.mid_run(100).await;
    let (holder, other) = if one.log().contains("dispatch started") {
        (one, two)
    } else {
        (two, one)
    };
    holder.signal("STOP");
    scene.closed_within(Duration::from_secs(2 + 20)).await;
    assert!(other.log().contains("dispatch started"));
    holder.signal("CONT");
    let lost = "it knows that it was overtaken";
    until(lost, Duration::from_secs(20), async || {
        holder
            .log()
            .contains("dispatch left to another worker")
            .then_some(())
    })
    .await;
    scene.rabbit.wait_counts(0, 0).await;
    holder.stop().await;
    other.stop().await;
    scene.check().await;
}
