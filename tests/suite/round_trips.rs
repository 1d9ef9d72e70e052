//! How often an e-mail has to wait for the relay, and how many connections are open.

use std::collections::VecDeque;
use std::time::Duration;

use herald::domain::{DispatchId, EmailAddress, NotificationId};
use herald::mailer::{Conversation, Handover, Parcel, Relay};
use rstest::rstest;
use serde_json::json;

use crate::support::database::Kind;
use crate::support::relay::plain_relay;
use crate::support::smtp::{Action, At, Options, SmtpServer};
use crate::support::stage::Stage;

const E_MAILS: usize = 200;
/// Greeting, EHLO, and the last reply.
const CONSTANT: usize = 3;

async fn connect(server: &SmtpServer) -> Conversation {
    let relay = Relay::new(&plain_relay(server.port())).expect("a relay");
    relay.connect().await.expect("a conversation")
}

/// Hands over an e-mail to each of `to`, as many at once as there is room for.
async fn hand_over(conversation: &mut Conversation, to: Vec<EmailAddress>) -> Vec<Handover> {
    let from = "news@example.com".parse().expect("an address");
    let (mut waiting, mut flying, mut outcomes) = (VecDeque::from(to), 0, Vec::new());
    while flying > 0 || !waiting.is_empty() {
        while conversation.room() > 0
            && let Some(to) = waiting.pop_front()
        {
            conversation.add(Parcel {
                dispatch: DispatchId::generate(),
                notification: NotificationId(1),
                from: &from,
                to: &to,
                email: b"Subject: x\r\n\r\n.dot\r\nbye\r\n".to_vec().into(),
            });
            flying += 1;
        }
        let settled = conversation.advance(|_| true).await;
        flying -= settled.len();
        outcomes.extend(settled);
        assert!(conversation.is_usable(), "{outcomes:?}");
    }
    outcomes
}

fn people(count: usize) -> Vec<EmailAddress> {
    let address = |n| format!("ann{n}@example.com").parse().expect("an address");
    (0..count).map(address).collect()
}

#[rstest]
#[case::lockstep(&[], 4 * E_MAILS, 4 * E_MAILS)]
#[case::pipelining(&["PIPELINING"], E_MAILS, E_MAILS + 1)]
#[case::chunking(&["PIPELINING", "CHUNKING"], E_MAILS / 16, E_MAILS / 2)]
#[tokio::test]
async fn round_trips(#[case] offers: &'static [&'static str], #[case] least: usize, #[case] most: usize) {
    let options = Options {
        offers,
        ..Options::default()
    };
    let server = SmtpServer::start(options).await;
    let mut conversation = connect(&server).await;
    let outcomes = hand_over(&mut conversation, people(E_MAILS)).await;
    assert!(outcomes.iter().all(|o| matches!(o, Handover::Accepted(_))));
    assert_eq!((server.connections(), server.messages().len()), (1, E_MAILS));
    let turns = server.turns();
    assert!((least..=most + CONSTANT).contains(&turns), "{turns} round trips");
}

/// A refused recipient costs a round trip, not the connection, nor the e-mails behind.
#[tokio::test]
async fn a_refused_recipient_costs_a_round_trip() {
    let options = Options {
        offers: &["PIPELINING"],
        ..Options::default()
    };
    let server = SmtpServer::start(options).await;
    let mut conversation = connect(&server).await;
    let mut to = people(E_MAILS);
    for n in (3..E_MAILS).step_by(10) {
        to[n] = format!("perm{n}@example.com").parse().expect("an address");
    }
    let outcomes = hand_over(&mut conversation, to).await;
    let refused = outcomes
        .iter()
        .filter(|o| matches!(o, Handover::RefusedForGood { .. }));
    assert_eq!((refused.count(), server.connections()), (E_MAILS / 10, 1));
    assert_eq!(server.messages().len(), E_MAILS - E_MAILS / 10);
    let turns = server.turns();
    // Behind a refusal the next envelope begins anew.
    let most = E_MAILS + E_MAILS / 10 + 1 + CONSTANT;
    assert!(turns <= most, "{turns} round trips");
}

/// Connections are opened as work waits for them, and never more than allowed.
#[tokio::test]
async fn as_many_connections_as_there_is_work_for() {
    let slow = Action::Delay(Duration::from_millis(20));
    let stage = Stage::new(Kind::Sqlite, Options::default().at(At::Dot, slow)).await;
    let worker = stage.settings().set("SMTP_CONNECTIONS", 3).start().await;
    assert_eq!(stage.smtp.connections(), 0, "nothing to do yet");
    stage.db.add_people(7, 1);
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7}))
        .await;
    stage.db.wait_closed().await;
    assert_eq!(stage.smtp.connections(), 1, "for one e-mail");
    stage.db.add_people(8, 200);
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 8}))
        .await;
    stage.db.wait_count("sent", 201).await;
    assert_eq!(stage.smtp.connections(), 3, "for many");
    stage.end(worker).await;
}
