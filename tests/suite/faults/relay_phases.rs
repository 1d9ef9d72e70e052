//! The relay breaks one conversation in ten, at each phase of it.

use rstest::rstest;

use super::scene::*;
use super::strikes::{Strikes, charged, offers, scene};
use crate::support::database::Kind;
use crate::support::smtp::{Action, At};

/// So many strikes of one run at most.
const MOST: usize = 20;

/// E-mails in one flight at most, where the relay offers CHUNKING.
const FLIGHT: usize = 8;

/// A fault that breaks conversations.
struct Break {
    name: &'static str,
    at: At,
    action: Action,
    /// Of a hundred passages.
    share: u64,
    /// Whether the relay has the e-mail then: only that may cost copies.
    accepted: bool,
}

impl Break {
    const fn reset(name: &'static str, at: At, share: u64) -> Self {
        Self {
            name,
            at,
            action: Action::Reset,
            share,
            accepted: false,
        }
    }

    const fn accepted(name: &'static str, action: Action) -> Self {
        Self {
            name,
            at: At::Dot,
            action,
            share: 10,
            accepted: true,
        }
    }
}

/// Connections are few and last long: more of them are struck.
#[rstest]
#[case::connect(Break::reset("relay: resets at connect", At::Connect, 30))]
#[case::greeting(Break::reset("relay: resets at the greeting", At::Greeting, 30))]
#[case::hello(Break::reset("relay: resets at EHLO", At::Hello, 30))]
#[case::mail(Break::reset("relay: resets at MAIL", At::Mail, 10))]
#[case::rcpt(Break::reset("relay: resets at RCPT", At::Rcpt, 10))]
#[case::data(Break::reset("relay: resets at DATA", At::Data, 10))]
#[case::body(Break::reset("relay: resets within the body", At::Body, 10))]
#[case::dot(Break::reset("relay: resets at the dot, not accepted", At::Dot, 10))]
#[case::accepted(Break::accepted("relay: resets at the dot, accepted", Action::AcceptAndReset))]
#[case::closed(Break::accepted("relay: closes at the dot, accepted", Action::AcceptAndClose))]
#[tokio::test]
async fn broken_off(#[case] fault: Break) {
    // A reset takes replies with it that were on their way, those of the e-mails before it in a flight too.
    let bound = if fault.accepted {
        MOST * FLIGHT
    } else {
        MOST * (FLIGHT - 1)
    };
    let mut tally = Tally::new(fault.name, Kind::Sqlite, bound);
    for run in 0..runs(1).min(20) {
        // A relay that offers CHUNKING may never see DATA.
        let offers = if fault.at == At::Data {
            &[]
        } else {
            offers(fault.at, run)
        };
        let strikes = Strikes::new(0x51ed_270b + run as u64, fault.share, MOST);
        let smtp = strikes.relay(offers, fault.at, fault.action.clone()).await;
        let scene = scene(Kind::Sqlite, smtp, PEOPLE).await;
        let worker = scene.settings.start().await;
        scene.publish(7).await;
        scene.completed(1).await;
        let recovery = strikes.since();
        let (hits, charged) = (strikes.hits(), charged(&scene));
        assert!(hits > 0, "nothing was struck");
        let cost = scene.end(vec![worker], PEOPLE).await;
        let others = if offers.contains(&"CHUNKING") {
            hits * (FLIGHT - 1)
        } else {
            0
        };
        let struck = others + if fault.accepted { hits } else { 0 };
        assert!(
            cost.copies <= struck.min(charged),
            "{cost:?}: {hits} strikes, {charged} charged"
        );
        tally.add(cost, recovery);
    }
    tally.tell();
}

/// Nothing hangs on a connection that takes its leave: all are reset then, and the worker ends in peace.
#[tokio::test]
async fn reset_at_quit() {
    let mut tally = Tally::new("relay: resets at QUIT", Kind::Sqlite, 0);
    for run in 0..runs(1).min(20) {
        let strikes = Strikes::new(1, 100, usize::MAX);
        strikes.begin();
        let smtp = strikes
            .relay(offers(At::Quit, run), At::Quit, Action::Reset)
            .await;
        let scene = scene(Kind::Sqlite, smtp, PEOPLE).await;
        let worker = scene.settings.start().await;
        scene.publish(7).await;
        let recovery = scene.completed(1).await;
        tally.add(scene.end(vec![worker], PEOPLE).await, recovery);
        assert!(strikes.hits() > 0, "no connection took its leave");
    }
    tally.tell();
}
