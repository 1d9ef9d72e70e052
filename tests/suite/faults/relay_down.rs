//! The relay takes nothing from anybody for a while.

use std::time::{Duration, Instant};

use rstest::rstest;

use super::scene::*;
use super::strikes::{Strikes, charged, offers, scene, scripted};
use crate::support::database::Kind;
use crate::support::proxy::{Proxy, free_port};
use crate::support::smtp::{Action, At};
use crate::support::until;

/// `SMTP_CONNECTIONS`, as it is unless said.
const CONNECTIONS: usize = 20;
/// Bursts of that many tries before and between the probes of half a minute.
const BURSTS: usize = 8;

/// Up to two seconds, in the long form half a minute for the first run.
fn outage(moments: &mut Moments, run: usize) -> Duration {
    let short = moments.next(2_000);
    if full() && run == 0 {
        Duration::from_secs(30)
    } else {
        short
    }
}

/// Nobody listens at the relay's port for a while: from the first on, or after having broken all that was
/// under way.
#[rstest]
#[case::at_first("relay: refuses connections at first", false)]
#[case::in_mid_run("relay: gone in mid-run, refuses, comes back", true)]
#[tokio::test]
async fn refused(
    #[case] fault: &'static str,
    #[case] mid_run: bool,
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let mut moments = Moments(0x7f4a_7c15);
    let mut tally = Tally::new(fault, kind, if mid_run { IN_FLIGHT } else { 0 });
    for run in 0..runs(1).min(8) {
        let smtp = scripted(offers(At::Connect, run), |_| None).await;
        let scene = scene(kind, smtp, 2 * PEOPLE).await;
        let (port, target) = (free_port(), format!("127.0.0.1:{}", scene.smtp.port()));
        let proxy = if mid_run {
            Some(Proxy::start(port, target.clone()).await)
        } else {
            None
        };
        let worker = scene.settings.clone().set("SMTP_PORT", port).start().await;
        scene.publish(7).await;
        if let Some(proxy) = proxy {
            scene.smtp.wait_for(1, LIMIT).await;
            tokio::time::sleep(moments.next(500)).await;
            proxy.cut().await;
        }
        let told = scene.smtp.messages().len();
        assert!(told < 2 * PEOPLE, "cut too late");
        until("a refusal is noticed", LIMIT, async || {
            worker
                .log()
                .contains("the relay cannot be used now")
                .then_some(())
        })
        .await;
        tokio::time::sleep(outage(&mut moments, run)).await;
        let proxy = Proxy::start(port, target).await;
        let recovery = scene.completed(1).await;
        let charged = charged(&scene);
        let cost = scene.end(vec![worker], 2 * PEOPLE).await;
        drop(proxy);
        assert!(cost.copies <= charged, "{cost:?}: {charged} recorded as unknown");
        assert!(mid_run || charged == 0, "{charged} charged");
        tally.add(cost, recovery);
    }
    tally.tell();
}

/// `421` and the end of the connection, at one point, to everybody. The lane slows down.
#[rstest]
#[case::greeting("relay: 421 to all at the greeting", At::Greeting)]
#[case::mail("relay: 421 to all at MAIL", At::Mail)]
#[case::rcpt("relay: 421 to all at RCPT", At::Rcpt)]
#[case::dot("relay: 421 to all at the dot", At::Dot)]
#[tokio::test]
async fn shutting_down(#[case] fault: &'static str, #[case] at: At) {
    let mut moments = Moments(0x3c6e_f372);
    let mut tally = Tally::new(fault, Kind::Sqlite, 0);
    for run in 0..runs(1).min(8) {
        let strikes = Strikes::new(1, 100, usize::MAX);
        let action = Action::ReplyAndClose("421 4.3.2 shutting down");
        let offers = offers(at, run);
        let smtp = strikes.relay(offers, at, action).await;
        let scene = scene(Kind::Sqlite, smtp, 2 * PEOPLE).await;
        let worker = scene.settings.start().await;
        if at == At::Greeting {
            strikes.begin();
        }
        scene.publish(7).await;
        if at != At::Greeting {
            scene.smtp.wait_for(CONNECTIONS, LIMIT).await;
            strikes.begin();
        }
        until("a strike", LIMIT, async || (strikes.hits() > 0).then_some(())).await;
        tokio::time::sleep(outage(&mut moments, run)).await;
        assert!(scene.smtp.messages().len() < 2 * PEOPLE, "began too late");
        strikes.end();
        let tries = strikes.hits();
        assert!(tries <= CONNECTIONS * BURSTS, "hammered: {tries} tries");
        scene.completed(1).await;
        let (charged, recovery) = (charged(&scene), strikes.since());
        // A relay that closes over unread commands may take its last words with it.
        assert!(
            !offers.is_empty() || charged == 0,
            "{charged} charged for the relay's fault"
        );
        tally.add(scene.end(vec![worker], 2 * PEOPLE).await, recovery);
    }
    tally.tell();
}

/// Each recipient is denied as if the address were at fault; more than twenty in a row are not.
#[rstest]
#[tokio::test]
async fn denied(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let mut moments = Moments(0x1f83_d9ab);
    let mut tally = Tally::new("relay: 554 5.7.1 to everyone", kind, 0);
    for run in 0..runs(1).min(8) {
        let strikes = Strikes::new(1, 100, usize::MAX);
        let action = Action::Reply("554 5.7.1 Relay access denied");
        let smtp = strikes.relay(offers(At::Rcpt, run), At::Rcpt, action).await;
        let scene = scene(kind, smtp, 2 * PEOPLE).await;
        let worker = scene.settings.start().await;
        scene.publish(7).await;
        scene.smtp.wait_for(CONNECTIONS, LIMIT).await;
        tokio::time::sleep(moments.next(200)).await;
        strikes.begin();
        assert!(scene.smtp.messages().len() < PEOPLE, "began too late");
        until("the lane closes", LIMIT, async || {
            worker.log().contains("the relay denies everybody").then_some(())
        })
        .await;
        assert!(strikes.hits() >= 20);
        tokio::time::sleep(outage(&mut moments, run)).await;
        strikes.end();
        assert_eq!(scene.db.wait_closed().await.status, "completed");
        tally.add(scene.end(vec![worker], 2 * PEOPLE).await, strikes.since());
    }
    tally.tell();
}

/// `451` to everybody for ten minutes: the message is acked meanwhile, the sweeper does the rest.
#[rstest]
#[case::recipient("relay: 451 to everyone for ten minutes at RCPT", At::Rcpt, Kind::Sqlite, 10)]
#[case::dot(
    "relay: 451 to everyone for two minutes at the dot",
    At::Dot,
    Kind::Postgres,
    2
)]
#[tokio::test]
async fn busy_for_minutes(
    #[case] fault: &'static str,
    #[case] at: At,
    #[case] kind: Kind,
    #[case] minutes: u64,
) {
    let (time, schedule) = if full() {
        (
            Duration::from_mins(minutes),
            format!("5s,10s,20s{}", ",30s".repeat(27)),
        )
    } else {
        (Duration::from_secs(8), format!("1s{}", ",2s".repeat(27)))
    };
    let mut tally = Tally::new(fault, kind, 0);
    let strikes = Strikes::new(1, 100, usize::MAX);
    let smtp = strikes
        .relay(offers(at, 0), at, Action::Reply("451 4.3.0 busy"))
        .await;
    let scene = scene(kind, smtp, PEOPLE).await;
    let settings = scene.settings.clone().set("RETRY_SCHEDULE", schedule);
    let worker = settings.set("MAX_RETRIES", 1).start().await;
    strikes.begin();
    let begun = Instant::now();
    scene.publish(7).await;
    until("the ack", LIMIT, async || (scene.watch.acks() > 0).then_some(())).await;
    while begun.elapsed() < time {
        let dispatch = scene.db.dispatch();
        // Running while the sweeper has it.
        assert!(
            ["waiting", "running"].contains(&dispatch.status.as_str()),
            "{dispatch:?}"
        );
        assert_eq!((scene.db.count("failed"), scene.db.count("sent")), (0, 0));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(scene.watch.acks(), 1, "acked while it waits");
    strikes.end();
    scene.completed(1).await;
    let recovery = strikes.since();
    assert_eq!(
        charged(&scene),
        strikes.hits(),
        "each refusal is charged to its recipient"
    );
    assert!(scene.db.dispatch().starts > 1, "the sweeper took it up");
    tally.add(scene.end(vec![worker], PEOPLE).await, recovery);
    tally.tell();
}
