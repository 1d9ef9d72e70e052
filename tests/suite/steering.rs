//! Pausing, resuming and cancelling dispatches, whoever works on them.

use std::time::Duration;

use rstest::rstest;
use serde_json::json;

use crate::support::command::Shell;
use crate::support::database::Kind;
use crate::support::mailed::everybody_once;
use crate::support::smtp::{Action, At, Options};
use crate::support::socket::open;
use crate::support::stage::Stage;
use crate::support::until;
use crate::support::worker::Settings;

const LIMIT: Duration = Duration::from_mins(1);
const PEOPLE: usize = 400;

/// A relay that takes its time with each e-mail.
fn slow() -> Options {
    Options::default().at(At::Dot, Action::Delay(Duration::from_millis(20)))
}

fn shell(stage: &Stage) -> Shell {
    Shell::new().set("DATABASE_URL", stage.db.url())
}

async fn stage(kind: Kind) -> (Stage, Settings) {
    let stage = Stage::new(kind, slow()).await;
    stage.db.add_people(7, PEOPLE);
    let settings = stage.settings().set("SMTP_CONNECTIONS", 2).set("LEASE", "2s");
    (stage, settings)
}

/// Publishes the message; the dispatch's id once some are mailed.
async fn under_way(stage: &Stage) -> String {
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7}))
        .await;
    until("the first e-mails", LIMIT, async || {
        (stage.db.count("sent") > 5).then_some(())
    })
    .await;
    stage.db.dispatch().id
}

#[rstest]
#[tokio::test]
async fn a_pause_rests_and_a_resume_goes_on(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let (stage, settings) = stage(kind).await;
    let (one, two) = (settings.start().await, settings.start().await);
    let id = under_way(&stage).await;
    let shell = shell(&stage);
    shell.herald(&["pause", &id]).await.done();
    stage.db.wait_dispatches(1, &["paused"]).await;
    let mailed = stage.smtp.messages().len();
    assert!(mailed < PEOPLE, "it was over before it was paused");
    stage.rabbit.wait_counts(0, 0).await;
    let again = shell.herald(&["pause", &id]).await;
    assert_eq!(again.code, Some(1), "{again:?}");
    // Longer than a sweeper's round.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(stage.smtp.messages().len(), mailed, "mailed while it was paused");

    shell.herald(&["resume", &id]).await.done();
    stage.db.wait_closed().await;
    everybody_once(&stage.smtp, PEOPLE);
    two.stop().await;
    stage.end(one).await;
}

#[rstest]
#[tokio::test]
async fn a_cancelled_one_ends(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let (stage, settings) = stage(kind).await;
    let worker = settings.start().await;
    let id = under_way(&stage).await;
    shell(&stage).herald(&["cancel", &id]).await.done();
    assert_eq!(
        stage.db.wait_dispatches(1, &["cancelled"]).await[0].status,
        "cancelled"
    );
    let (sent, cancelled) = (stage.db.count("sent"), stage.db.count("cancelled"));
    assert!(
        cancelled > 0 && stage.db.count("pending") == 0,
        "{:?}",
        stage.db.counts()
    );
    assert_eq!(usize::try_from(sent), Ok(stage.smtp.messages().len()));
    stage.rabbit.wait_counts(0, 0).await;
    for command in ["pause", "resume", "cancel"] {
        let said = shell(&stage).herald(&[command, &id]).await;
        assert_eq!(said.code, Some(1), "{said:?}");
    }
    let unknown = "01a1f9c0-7f67-7407-ad66-199d574d064c";
    assert_eq!(shell(&stage).herald(&["cancel", unknown]).await.code, Some(1));
    stage.end(worker).await;
}

/// Who is put back to work after a cancel is mailed, and nobody else is read on.
#[rstest]
#[tokio::test]
async fn a_retry_of_a_cancelled_one_mails_nobody_else(
    #[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind,
) {
    let refusing = Options::default().script(|event| match event.at {
        At::Rcpt if event.recipient.starts_with("perm") => None,
        At::Dot => Some(Action::Delay(Duration::from_millis(20))),
        _ => None,
    });
    let stage = Stage::new(kind, refusing).await;
    stage.db.add_numbered(7, "perm", 1);
    stage.db.add_people(7, PEOPLE);
    let settings = stage.settings().set("SMTP_CONNECTIONS", 2).set("BATCH_SIZE", 20);
    let worker = settings.set("IN_FLIGHT", 20).start().await;
    let id = under_way(&stage).await;
    stage.db.wait_count("failed", 1).await;
    shell(&stage).herald(&["cancel", &id]).await.done();
    stage.db.wait_dispatches(1, &["cancelled"]).await;
    let (rows, mailed) = (stage.db.rows().len(), stage.smtp.messages().len());
    assert!(rows < PEOPLE, "all pages were read before it was cancelled");
    let failed = stage.db.rows().into_iter().find(|row| row.status == "failed");
    let failed = failed.expect("a failed one").id.to_string();
    let said = shell(&stage).herald(&["retry", "--notification", &failed]).await;
    said.done();
    let closed = ["cancelled", "partial", "failed", "completed"];
    until("its second try", LIMIT, async || {
        let tries = stage
            .smtp
            .attempts()
            .iter()
            .filter(|a| a.to.starts_with("perm"))
            .count();
        (tries == 2 && closed.contains(&stage.db.dispatch().status.as_str())).then_some(())
    })
    .await;
    assert_eq!(stage.db.rows().len(), rows, "further pages were read");
    assert_eq!(stage.smtp.messages().len(), mailed, "somebody else was mailed");
    stage.end(worker).await;
}

/// A wish that came too late does not strike a later retry.
#[tokio::test]
async fn a_wish_does_not_outlive_the_close() {
    let (open, gate) = tokio::sync::watch::channel(false);
    let options = Options::default().script(move |event| {
        (event.at == At::Dot && event.recipient.starts_with("last")).then(|| Action::Until(gate.clone()))
    });
    let stage = Stage::new(Kind::Sqlite, options).await;
    stage.db.add_numbered(7, "perm", 1);
    stage.db.add_numbered(7, "last", 1);
    let worker = stage.settings().start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7}))
        .await;
    stage.db.wait_count("failed", 1).await;
    // As a wish that is written while the last outcome is on its way.
    open.send_replace(true);
    stage.db.wait_dispatches(1, &["partial"]).await;
    stage.db.execute("UPDATE dispatches SET wanted = 'cancelled'");
    let id = stage.db.dispatch().id;
    shell(&stage).herald(&["retry", "--dispatch", &id]).await.done();
    until("its second try", LIMIT, async || {
        let tries = stage
            .smtp
            .attempts()
            .iter()
            .filter(|a| a.to.starts_with("perm"))
            .count();
        (tries == 2).then_some(())
    })
    .await;
    stage.db.wait_dispatches(1, &["partial"]).await;
    stage.end(worker).await;
}

/// A wish counts for whoever takes the dispatch over.
#[tokio::test]
async fn a_wish_outlives_its_worker() {
    let (stage, settings) = stage(Kind::Sqlite).await;
    let mut worker = settings.start().await;
    let id = under_way(&stage).await;
    worker.kill9();
    let mailed = stage.smtp.messages().len();
    shell(&stage).herald(&["cancel", &id]).await.done();
    let worker = settings.start().await;
    stage.db.wait_dispatches(1, &["cancelled"]).await;
    assert!(stage.smtp.messages().len() < PEOPLE, "{mailed} before");
    assert!(stage.db.count("cancelled") > 0);
    stage.end(worker).await;
}

/// What waits for its relay needs no worker to be paused or cancelled.
#[tokio::test]
async fn what_waits_is_steered_at_once() {
    let away = Options::default().at(At::Greeting, Action::ReplyAndClose("421 not now"));
    let stage = Stage::new(Kind::Sqlite, away).await;
    stage.db.add_people(7, 3);
    let settings = stage.settings().set("PARK_AFTER", "1s").set("LEASE", "2s");
    let worker = settings.start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7}))
        .await;
    stage.db.wait_dispatches(1, &["waiting"]).await;
    worker.stop().await;
    let (shell, id) = (shell(&stage), stage.db.dispatch().id);
    for (command, status) in [
        ("pause", "paused"),
        ("resume", "waiting"),
        ("cancel", "cancelled"),
    ] {
        shell.herald(&[command, &id]).await.done();
        assert_eq!(stage.db.dispatch().status, status);
    }
    assert_eq!(stage.db.count("cancelled"), 3);
    stage.rabbit.clean().await;
}

/// Also of a dispatch that no work ends, its end is told.
#[tokio::test]
async fn who_watches_hears_that_a_waiting_one_is_cancelled() {
    let away = Options::default().at(At::Greeting, Action::ReplyAndClose("421 not now"));
    let stage = Stage::new(Kind::Sqlite, away).await;
    stage.db.add_people(7, 3);
    let worker = stage.settings().set("PARK_AFTER", "1s").start().await;
    let mut socket = open(&worker, "", &[]).await.expect("a connection");
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7}))
        .await;
    stage.db.wait_dispatches(1, &["waiting"]).await;
    let id = stage.db.dispatch().id;
    // Taken up again for a moment now and then: paused, it surely rests.
    let (pause, cancel) = (
        format!("/api/v1/dispatches/{id}/pause"),
        format!("/api/v1/dispatches/{id}/cancel"),
    );
    assert_eq!(worker.post_nothing(&pause).await.status(), 202);
    stage.db.wait_dispatches(1, &["paused"]).await;
    assert_eq!(worker.post_nothing(&cancel).await.status(), 202);
    let told = socket.until_type("dispatch.completed").await;
    let last = told.last().expect("it was told");
    assert_eq!(
        (
            &last["dispatch_id"],
            &last["status"],
            &last["counts"]["cancelled"]
        ),
        (&json!(id), &json!("cancelled"), &json!(3)),
        "{last}"
    );
    stage.end(worker).await;
}
