//! A relay that answers anything at any time, in any pieces: what the engine says of each e-mail is never
//! more than what the relay saw.

use std::time::Duration;

use herald::config::RelayConfig;
use herald::domain::{DispatchId, NotificationId};
use herald::mailer::{Fault, Handover, Parcel, Relay};
use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::relay::plain_relay;

const LIMIT: Duration = Duration::from_millis(300);

/// What a relay says after EHLO, in pieces; then it listens for a moment and closes.
#[derive(Debug, Clone)]
struct Speech {
    offers: &'static str,
    pieces: Vec<String>,
    /// It waits for something to be said before each piece.
    polite: bool,
}

fn speeches() -> impl Strategy<Value = Speech> {
    let offers = select(vec![
        "250 hello\r\n",
        "250-hello\r\n250 PIPELINING\r\n",
        "250-hello\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
    ]);
    let reply = prop_oneof![
        12 => Just("250 2.0.0 fine\r\n"),
        4 => Just("354 go ahead\r\n"),
        1 => Just("250-two\r\n250 lines\r\n"),
        1 => Just("450 4.2.1 later\r\n"),
        1 => Just("550 5.1.1 nobody\r\n"),
        1 => Just("421 4.3.2 bye\r\n"),
        1 => Just("503 5.5.1 out of order\r\n"),
        1 => Just("hello\r\n"),
        1 => Just("\u{0}\r\n"),
        1 => Just("25"),
    ];
    let replies = proptest::collection::vec(reply, 0..24);
    let cuts = proptest::collection::vec(0..400_usize, 0..12);
    (offers, replies, cuts, any::<bool>()).prop_map(|(offers, replies, mut cuts, polite)| {
        let all = replies.concat();
        cuts.retain(|&cut| cut < all.len());
        cuts.push(all.len());
        cuts.sort_unstable();
        let mut from = 0;
        let pieces = cuts.into_iter().map(|to| {
            let piece = all[from..to].to_owned();
            from = to;
            piece
        });
        Speech {
            offers,
            pieces: pieces.collect(),
            polite,
        }
    })
}

/// Gives all that it was told after EHLO.
async fn relay(speech: Speech) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let task = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.expect("a client");
        let mut told = Vec::new();
        let _ = tcp.write_all(b"220 hello\r\n").await;
        hear(&mut tcp, &mut told, LIMIT).await;
        told.clear();
        let _ = tcp.write_all(speech.offers.as_bytes()).await;
        for piece in &speech.pieces {
            let wait = if speech.polite {
                LIMIT
            } else {
                Duration::from_millis(1)
            };
            hear(&mut tcp, &mut told, wait).await;
            let _ = tcp.write_all(piece.as_bytes()).await;
        }
        // What is under way still arrives.
        while hear(&mut tcp, &mut told, Duration::from_millis(20)).await {}
        told
    });
    (port, task)
}

/// Waits a moment for something; whether there was anything.
async fn hear(tcp: &mut TcpStream, told: &mut Vec<u8>, wait: Duration) -> bool {
    let heard = tokio::time::timeout(wait, tcp.read_buf(told)).await;
    matches!(heard, Ok(Ok(count)) if count > 0)
}

fn text(n: usize) -> String {
    format!("Subject: {n}\r\n\r\nthis is the whole text {n}\r\n")
}

/// What became of `count` e-mails, and what the relay was told.
async fn converse(speech: Speech, count: usize) -> Option<(Vec<Handover>, String)> {
    let (port, task) = relay(speech).await;
    let config = RelayConfig {
        timeout: LIMIT,
        data_timeout: LIMIT,
        ..plain_relay(port)
    };
    let mut conversation = Relay::new(&config).expect("a relay").connect().await.ok()?;
    let from = "news@example.com".parse().expect("an address");
    let to = "ann@example.com".parse().expect("an address");
    let (mut outcomes, mut added) = (Vec::new(), 0);
    while outcomes.len() < count && conversation.is_usable() {
        while added < count && conversation.room() > 0 {
            conversation.add(Parcel {
                dispatch: DispatchId::generate(),
                notification: NotificationId(1),
                from: &from,
                to: &to,
                email: text(added).into_bytes().into(),
            });
            added += 1;
        }
        outcomes.extend(conversation.advance(|_| true).await);
    }
    assert_eq!(outcomes.len(), added, "each that was added has one outcome");
    drop(conversation);
    let told = String::from_utf8(task.await.expect("no panic")).expect("ASCII");
    Some((outcomes, told))
}

/// What is said of an e-mail is true.
fn judge(n: usize, outcome: &Handover, told: &str) -> Result<(), TestCaseError> {
    let whole =
        told.contains(&format!("{}.\r\n", text(n))) || told.contains("BDAT") && told.contains(&text(n));
    let blamed = |fault: &Fault| fault.reply().is_some();
    match outcome {
        Handover::Accepted(_) => prop_assert!(whole, "{} accepted without its text: {:?}", n, told),
        Handover::Unsent(fault) => {
            prop_assert!(!whole || blamed(fault), "{} unsent ({}): {:?}", n, fault, told);
        }
        Handover::Unknown(_) | Handover::RefusedForNow { .. } | Handover::RefusedForGood { .. } => {}
    }
    prop_assert!(told.matches(&text(n)).count() <= 1);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn never_fools_the_engine(speech in speeches(), count in 1..5_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let limit = Duration::from_secs(20);
        let seen = runtime.block_on(async { tokio::time::timeout(limit, converse(speech, count)).await });
        let seen = seen.map_err(|_| TestCaseError::fail("it hangs"))?;
        if let Some((outcomes, told)) = seen {
            for (n, outcome) in outcomes.iter().enumerate() {
                judge(n, outcome, &told)?;
            }
        }
    }
}
