//! The broker fails.

use rstest::rstest;

use super::scene::*;
use crate::support::database::Kind;

#[rstest]
#[tokio::test]
async fn connection_closed_by_the_broker(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let (mut moments, mut tally) = (
        Moments(0x1656_67b1),
        Tally::new("broker: closes the connection", kind, 0),
    );
    for _ in 0..runs(1).min(5) {
        let scene = Scene::new(kind).await;
        scene.db.add_people(7, 2 * PEOPLE);
        let worker = scene.settings.start().await;
        let connection = scene.rabbit.consuming_connection().await;
        scene.publish(7).await;
        scene.smtp.wait_for(1, LIMIT).await;
        tokio::time::sleep(moments.next(700)).await;
        assert!(scene.rabbit.close(&connection).await);
        assert!(scene.smtp.messages().len() < 2 * PEOPLE, "closed too late");
        let recovery = scene.completed(1).await;
        scene.rabbit.wait_counts(0, 0).await;
        assert_eq!(scene.db.dispatch().starts, 1, "it was adopted, not begun again");
        tally.add(scene.end(vec![worker], 2 * PEOPLE).await, recovery);
    }
    tally.tell();
}
