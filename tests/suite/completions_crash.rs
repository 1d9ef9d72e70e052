//! kill -9 between each two steps of the completion order: every notice comes at least once, every bundle is
//! complete, and in the end the outbox is empty. `HERALD_KILLS` says how often at each point.

use std::collections::BTreeSet;
use std::time::Duration;

use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;

use crate::support::command::Shell;
use crate::support::database::{Kind, TestDatabase};
use crate::support::notices::{Sqs, Topic, aws};
use crate::support::rabbit::Rabbit;
use crate::support::worker::Settings;

/// For the end of a worker at its point.
const LIMIT: Duration = Duration::from_mins(1);

fn kills() -> usize {
    let said = std::env::var("HERALD_KILLS").ok();
    said.map_or(3, |n| n.parse().expect("HERALD_KILLS is a number"))
}

#[rstest]
#[case("completion-closed", Kind::Sqlite)]
#[case("completion-claimed", Kind::Postgres)]
#[case("bundle-unlisted", Kind::Sqlite)]
#[case("completion-finalised", Kind::Mysql)]
#[case("completion-hooked", Kind::Sqlite)]
#[case("completion-published", Kind::Postgres)]
#[case("completion-removed", Kind::Mysql)]
#[tokio::test]
async fn no_notice_is_lost(#[case] point: &str, #[case] kind: Kind) {
    let (db, rabbit, sqs, topic) = (
        TestDatabase::new(kind),
        Rabbit::new().await,
        Sqs::new().await,
        Topic::new().await,
    );
    db.add_people(7, 2);
    let folder = TempDir::new().expect("a folder");
    let settings = aws(Settings::new(&db, &rabbit))
        .set("OC_STORAGE_TYPE", "file")
        .set("OC_STORAGE_FILE_PATH", folder.path().display())
        .set("LEASE", "2s")
        .set("OC_SQS_QUEUE_URL", &sqs.url)
        .set("COMPLETIONS_EXCHANGE", &topic.exchange);
    let ending = settings.clone().set("FAILPOINTS", format!("{point}=return"));
    for killed in 1..=kills() {
        // What the kill before left is taken up, and may end the next worker as well.
        let mut worker = ending.spawn();
        queue_is_there(&rabbit).await;
        rabbit.send(&json!({"type": "UPDATED", "event_id": 7})).await;
        let status = worker.wait_exit(LIMIT).await;
        assert!(!status.success(), "{point}: {status}");
        assert_eq!(status.code(), None, "{point} was not reached: {status}");
        if killed % 2 == 0 {
            // The next kill meets an empty outbox.
            let worker = settings.start().await;
            db.wait_dispatches(killed, &["completed"]).await;
            db.wait_completed().await;
            worker.stop().await;
        }
    }
    let worker = settings.start().await;
    db.wait_dispatches(kills(), &["completed"]).await;
    db.wait_completed().await;
    let bundles: BTreeSet<String> = db.dispatches().into_iter().map(|d| d.id).collect();
    assert_eq!(bundles.len(), kills());
    let shell = Shell::new()
        .set("DATABASE_URL", db.url())
        .set("OC_STORAGE_TYPE", "file")
        .set("OC_STORAGE_FILE_PATH", folder.path().display());
    let verified = shell.herald(&["archive", "verify"]).await.done();
    for bundle in &bundles {
        assert!(
            line(&verified, bundle).is_some_and(|line| line.ends_with("resources, 2 e-mails")),
            "{verified}"
        );
    }
    sqs.wait_all(&bundles).await;
    topic.wait_all(&bundles).await;
    worker.stop().await;
    topic.remove().await;
    rabbit.clean().await;
}

/// What is said of a bundle that is fine. A kill in mid-run may have left a page more.
fn line<'a>(verified: &'a str, bundle: &str) -> Option<&'a str> {
    let fine = format!("{bundle}: ok, ");
    verified.lines().find(|line| line.starts_with(&fine))
}

/// Before anything is published to it: the first worker makes it.
async fn queue_is_there(rabbit: &Rabbit) {
    let queue = &rabbit.broker.queue;
    crate::support::until("the queue", LIMIT, async || rabbit.ready(queue).await).await;
}
