//! The relay refuses some, for now or for good; says nothing after the dot; is slow.

use std::time::Duration;

use rstest::rstest;

use super::scene::*;
use super::strikes::{Strikes, charged, offers, scene, scripted};
use crate::support::database::Kind;
use crate::support::smtp::{Action, At};

/// For rows that take the worker's whole time limits.
const FEW: usize = 60;

#[rstest]
#[case::recipient("relay: 450 to a tenth of the recipients", At::Rcpt, "450 4.2.1 mailbox busy")]
#[case::dot(
    "relay: 451 to a tenth of the final dots",
    At::Dot,
    "451 4.3.0 try again later"
)]
#[tokio::test]
async fn a_tenth_refused_for_now(
    #[case] fault: &'static str,
    #[case] at: At,
    #[case] reply: &'static str,
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let mut tally = Tally::new(fault, kind, 0);
    for run in 0..runs(1).min(10) {
        let strikes = Strikes::new(0x2f6b_1c3d + run as u64, 10, usize::MAX);
        let smtp = strikes.relay(offers(at, run), at, Action::Reply(reply)).await;
        let scene = scene(kind, smtp, PEOPLE).await;
        let worker = scene.settings.start().await;
        scene.publish(7).await;
        scene.completed(1).await;
        let (hits, recovery) = (strikes.hits(), strikes.since());
        assert!(hits > PEOPLE / 20, "{hits} strikes");
        assert_eq!(charged(&scene), hits, "each refusal is charged to its recipient");
        tally.add(scene.end(vec![worker], PEOPLE).await, recovery);
    }
    tally.tell();
}

#[rstest]
#[tokio::test]
async fn two_of_a_hundred_refused_for_good(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    const REPLY: &str = "550 5.1.1 no such user here";
    let mut tally = Tally::new("relay: 550 for 2 % of the recipients", kind, 0);
    for run in 0..runs(1).min(10) {
        let refused = move |to: &str| {
            let number = to.trim_start_matches("person").split('@').next();
            number.is_some_and(|n| n.parse().is_ok_and(|n: usize| n % 50 == (7 * run) % 50))
        };
        let smtp = scripted(offers(At::Rcpt, run), move |event| {
            (event.at == At::Rcpt && refused(&event.recipient)).then_some(Action::Reply(REPLY))
        })
        .await;
        let scene = scene(kind, smtp, PEOPLE).await;
        let worker = scene.settings.start().await;
        scene.publish(7).await;
        let begun = std::time::Instant::now();
        assert_eq!(scene.db.wait_closed().await.status, "partial");
        let recovery = begun.elapsed();
        for row in scene.db.rows() {
            let wanted = if refused(row.to()) { "failed" } else { "sent" };
            assert_eq!((row.status.as_str(), row.attempts), (wanted, 1), "{row:?}");
            assert_eq!(row.reason().contains(REPLY), refused(row.to()), "{row:?}");
        }
        let (sent, failed) = (PEOPLE - PEOPLE / 50, PEOPLE / 50);
        let cost = scene
            .end_as(vec![worker], &[("sent", sent), ("failed", failed)], sent)
            .await;
        tally.add(cost, recovery);
    }
    tally.tell();
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnUnknown {
    Resend,
    Hold,
}

/// Three e-mails are swallowed at the dot without a word. Everybody else is sent before the first of them
/// is given up.
#[rstest]
#[case::accepted("relay: silent after the dot, accepted", Action::AcceptAndHang, 3)]
#[case::not_accepted("relay: silent after the dot, not accepted", Action::Hang, 0)]
#[tokio::test]
async fn silent_after_the_dot(
    #[case] fault: &'static str,
    #[case] action: Action,
    #[case] accepted: usize,
    #[values(OnUnknown::Resend, OnUnknown::Hold)] on_unknown: OnUnknown,
) {
    const HANGS: usize = 3;
    let bound = if on_unknown == OnUnknown::Hold {
        0
    } else {
        accepted
    };
    let mut tally = Tally::new(fault, (Kind::Sqlite, on_unknown), bound);
    for run in 0..runs(1).min(5) {
        let offers = offers(At::Dot, run);
        let strikes = Strikes::new(0x1b87_3593 + run as u64, 50, HANGS);
        let smtp = strikes.relay(offers, At::Dot, action.clone()).await;
        let scene = scene(Kind::Sqlite, smtp, FEW).await;
        let settings = scene
            .settings
            .clone()
            .set("ON_UNKNOWN", format!("{on_unknown:?}").to_lowercase());
        let worker = settings.set("SMTP_DATA_TIMEOUT", "10s").start().await;
        scene.publish(7).await;
        // What was sent behind a swallowed one, before its reply was due, is as unknown.
        let behind = if offers.contains(&"CHUNKING") {
            IN_FLIGHT
        } else {
            HANGS
        };
        scene
            .db
            .wait_count("sent", i64::try_from(FEW - behind).expect("few"))
            .await;
        assert_eq!(
            scene.db.count("unknown"),
            0,
            "given up before the others were sent"
        );
        scene.db.wait_count("unknown", 1).await;
        assert_eq!(strikes.hits(), HANGS);
        if on_unknown == OnUnknown::Hold {
            assert_eq!(scene.db.wait_closed().await.status, "partial");
            let unknown = usize::try_from(scene.db.count("unknown")).expect("few");
            assert!((HANGS..=behind).contains(&unknown), "{unknown} unknown");
            let told = FEW - unknown + accepted;
            let recovery = strikes.since();
            let rows = [("sent", FEW - unknown), ("unknown", unknown)];
            tally.add(scene.end_as(vec![worker], &rows, told).await, recovery);
        } else {
            scene.completed(1).await;
            let (charged, recovery) = (charged(&scene), strikes.since());
            let cost = scene.end(vec![worker], FEW).await;
            assert!(cost.copies <= charged, "{cost:?}: {charged} recorded as unknown");
            tally.add(cost, recovery);
        }
    }
    tally.tell();
}

#[rstest]
#[case::late(
    "relay: answers each command after 300 ms",
    Action::Delay(Duration::from_millis(300))
)]
#[case::dribbling("relay: dribbles its replies", Action::Dribble(Duration::from_millis(4)))]
#[tokio::test]
async fn slow(#[case] fault: &'static str, #[case] action: Action) {
    let mut tally = Tally::new(fault, Kind::Sqlite, 0);
    for run in 0..runs(1).min(5) {
        let action = action.clone();
        let smtp = scripted(offers(At::Dot, run), move |_| Some(action.clone())).await;
        let scene = scene(Kind::Sqlite, smtp, FEW).await;
        let worker = scene.settings.start().await;
        scene.publish(7).await;
        let recovery = scene.completed(1).await;
        assert_eq!(charged(&scene), 0, "nobody pays for a slow relay");
        tally.add(scene.end(vec![worker], FEW).await, recovery);
    }
    tally.tell();
}
