//! The disk of the database is full.

use std::time::Duration;

use super::scene::*;
use crate::support::database::{Kind, TestDatabase};
use crate::support::mailed::slow_relay;
use crate::support::outage::SmallDisk;
use crate::support::until;

const ALL: usize = 2 * PEOPLE;

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test that proves nothing has to say so")]
async fn full_for_a_while() {
    let (mut moments, mut tally) = (
        Moments(0xbf58_476d),
        Tally::new("database: disk full for a while", Kind::Sqlite, 0),
    );
    for _ in 0..runs(1).min(10) {
        let Some(disk) = SmallDisk::mount(16) else {
            eprintln!("nothing tested: a small disk cannot be mounted here without root");
            return;
        };
        let db = TestDatabase::in_folder(disk.path());
        let scene = Scene::on(db, slow_relay(Duration::from_millis(40)).await).await;
        scene.db.add_people(7, ALL);
        let worker = scene.settings.start().await;
        scene.publish(7).await;
        scene.smtp.wait_for(1, LIMIT).await;
        tokio::time::sleep(moments.next(600)).await;
        disk.fill();
        let known = scene.db.count("sent");
        let url = worker.url("/health");
        until("/health says that it cannot write", LIMIT, async || {
            (reqwest::get(&url).await.ok()?.status() == 503).then_some(())
        })
        .await;
        tokio::time::sleep(LEASE + moments.next(2000)).await;
        let (taken, sent) = (scene.smtp.messages().len(), scene.db.count("sent"));
        assert!(taken < ALL, "not in mid-run");
        assert!(
            sent - known <= 64,
            "{sent} recorded, {known} before: the disk was not full"
        );
        let sent = usize::try_from(sent).expect("few");
        assert!(taken - sent <= IN_FLIGHT, "{taken} taken, {sent} recorded");
        assert_eq!(worker.get("/health").await.status(), 503);
        scene.assert_sent_is_true();
        disk.free();
        let recovery = scene.completed(1).await;
        until("/health is well again", LIMIT, async || {
            (reqwest::get(&url).await.ok()?.status() == 200).then_some(())
        })
        .await;
        scene.rabbit.wait_counts(0, 0).await;
        assert_eq!(scene.db.dispatch().starts, 1, "nobody took it over");
        tally.add(scene.end(vec![worker], ALL).await, recovery);
    }
    tally.tell();
}
