//! The worker dies or is stopped.

use rstest::rstest;

use super::scene::*;
use crate::support::database::Kind;

#[rstest]
#[tokio::test]
async fn killed_at_any_moment(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let (mut moments, mut tally) = (
        Moments(0x9e37_79b9),
        Tally::new("crash: kill -9", kind, IN_FLIGHT),
    );
    for _ in 0..runs(3) {
        let scene = Scene::new(kind).await;
        scene.db.add_people(7, PEOPLE);
        let mut worker = scene.settings.start().await;
        scene.publish(7).await;
        tokio::time::sleep(moments.next(700)).await;
        worker.kill9();
        let worker = scene.settings.start().await;
        let recovery = scene.completed(1).await;
        assert!(recovery < LEASE + RECOVERY, "recovered after {recovery:?}");
        tally.add(scene.end(vec![worker], PEOPLE).await, recovery);
    }
    tally.tell();
}

#[rstest]
#[tokio::test]
async fn stopped_at_any_moment(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let (mut moments, mut tally) = (Moments(0x2545_f491), Tally::new("crash: SIGTERM", kind, 0));
    for _ in 0..runs(2) {
        let scene = Scene::new(kind).await;
        scene.db.add_people(7, PEOPLE);
        let worker = scene.settings.start().await;
        scene.publish(7).await;
        tokio::time::sleep(moments.next(700)).await;
        worker.stop().await;
        let worker = scene.settings.start().await;
        let recovery = scene.completed(1).await;
        tally.add(scene.end(vec![worker], PEOPLE).await, recovery);
    }
    tally.tell();
}
