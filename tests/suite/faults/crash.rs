//! The worker dies or is stopped.

use std::time::Duration;

use rstest::rstest;

use super::scene::*;
use crate::support::database::Kind;

/// `SHUTDOWN_GRACE`.
const GRACE: Duration = Duration::from_secs(5);

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let (mut moments, mut tally) = (
        Moments(0x9e37_79b9),
        Tally::new("crash: kill -9", kind, IN_FLIGHT),
    );
    let wanted = runs(3);
    // On a busy machine some strikes come when all is done: those do not count.
    let runs = (0..=wanted + wanted / 5).map(|_| killed(kind, moments.mid_run(PEOPLE)));
    for (cost, recovery) in play(runs).await.into_iter().flatten().take(wanted) {
        tally.add(cost, recovery);
    }
    assert_eq!(tally.runs(), wanted, "strikes in mid-run");
    tally.tell();
}

/// `None` when it was too late to strike.
async fn killed(kind: Kind, moment: Moment) -> Option<(Cost, Duration)> {
    let scene = Scene::new(kind).await;
    scene.db.add_people(7, PEOPLE);
    let mut worker = scene.settings.start().await;
    scene.publish(7).await;
    scene.reach(moment).await;
    worker.kill9();
    let struck = scene.smtp.messages().len() < PEOPLE;
    let worker = scene.settings.start().await;
    let recovery = scene.completed(1).await;
    in_time(recovery);
    let cost = scene.end(vec![worker], PEOPLE).await;
    struck.then_some((cost, recovery))
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_at_any_moment(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let (mut moments, mut tally) = (Moments(0x2545_f491), Tally::new("crash: SIGTERM", kind, 0));
    let runs = (0..runs(2).min(20)).map(|_| stopped(kind, moments.mid_run(PEOPLE)));
    for (cost, recovery) in play(runs).await {
        tally.add(cost, recovery);
    }
    tally.tell();
}

async fn stopped(kind: Kind, moment: Moment) -> (Cost, Duration) {
    let scene = Scene::new(kind).await;
    scene.db.add_people(7, PEOPLE);
    let settings = scene.settings.clone().set("SHUTDOWN_GRACE", GRACE.as_secs());
    let mut worker = settings.start().await;
    scene.publish(7).await;
    scene.reach(moment).await;
    worker.sigterm();
    let status = worker.wait_exit(GRACE).await;
    assert_eq!(status.code(), Some(0), "after SIGTERM");
    scene.struck(PEOPLE);
    let worker = settings.start().await;
    let recovery = scene.completed(1).await;
    (scene.end(vec![worker], PEOPLE).await, recovery)
}
