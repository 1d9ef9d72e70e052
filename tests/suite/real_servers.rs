//! The mailer against servers that others wrote: Postfix, Exim, and one in Python.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use herald::config::{RelayConfig, TlsMode};
use herald::domain::{DispatchId, EmailAddress, NotificationId};
use herald::mailer::{Conversation, Handover, Parcel, Phase, Relay};
use rstest::rstest;
use serde_json::json;

use crate::support::database::TestDatabase;
use crate::support::rabbit::Rabbit;
use crate::support::relays::{PASSWORD, RealRelay, USER, unix};
use crate::support::worker::Settings;

const CONNECTIONS: usize = 4;
/// Connections that break under one e-mail before it is nobody's fault but ours.
const PATIENCE: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Letter {
    to: EmailAddress,
    email: Vec<u8>,
    means: &'static str,
}

/// The `n`th e-mail: most are fine, some recipients are refused, some for now, some e-mails at their end.
fn letter(n: usize, refuses_at_end: bool) -> Letter {
    let (name, means) = match n % 20 {
        3 | 13 | 14 => ("perm", "Rcpt for good"),
        7 => ("temp", "Rcpt for now"),
        _ if n % 30 == 11 && refuses_at_end => ("end", "Dot for good"),
        5 => ("jos\u{e9}", "accepted"),
        _ => ("ann", "accepted"),
    };
    let subject = if means == "Dot for good" { "refused" } else { "x" };
    let (dots, long) = (n.is_multiple_of(3), n % 50 == 2);
    let mut text = String::from(".\r\n..\r\n.a dot\r\n\r\n").repeat(usize::from(dots));
    text += &"what is long \u{2603} and goes on = . \r\n".repeat(if long { 5_000 } else { n % 7 });
    text += if n.is_multiple_of(4) {
        ".\r\n"
    } else {
        "the end\r\n"
    };
    let to = format!("{name}{n}@example.com");
    // Where the address is ASCII, so is the e-mail, as Herald writes them.
    let (display, text) = if to.is_ascii() {
        ("=?utf-8?q?Jos=C3=A9?=", text.replace('\u{2603}', "snow"))
    } else {
        ("Jos\u{e9} \u{2603}", text)
    };
    let head = format!(
        "From: News <news@example.com>\r\nTo: {display} <{to}>\r\nSubject: {subject}\r\n\
         Date: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{n}@herald.test>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    );
    Letter {
        to: to.parse().expect("an address"),
        email: (head + &text).into_bytes(),
        means,
    }
}

fn config(relay: &RealRelay, tls: TlsMode) -> RelayConfig {
    RelayConfig {
        host: "localhost".into(),
        port: relay.port,
        credentials: Some((USER.to_owned(), PASSWORD.to_owned().into())),
        tls,
        tls_ca: Some(relay.certs.ca()),
        connections: CONNECTIONS,
        timeout: Duration::from_secs(20),
        rate_limit: 0,
        data_timeout: Duration::from_secs(20),
    }
}

/// All that the connections share.
struct Work {
    waiting: Mutex<VecDeque<Letter>>,
    outcomes: Mutex<Vec<(Letter, String)>>,
    from: EmailAddress,
    relay: Relay,
}

impl Work {
    /// One connection after the other until nothing waits; how many there were.
    async fn run(&self) -> usize {
        let (mut connections, mut broken) = (0, 0);
        while !self.waiting.lock().expect("no panic").is_empty() {
            let mut conversation = self.relay.connect().await.expect("a conversation");
            assert!(conversation.is_encrypted());
            connections += 1;
            self.talk(&mut conversation).await;
            conversation.quit().await;
            broken += 1;
            assert!(broken < PATIENCE, "no end");
        }
        connections
    }

    async fn talk(&self, conversation: &mut Conversation) {
        let mut flying = VecDeque::new();
        while conversation.is_usable() {
            while conversation.room() > 0 {
                let Some(letter) = self.waiting.lock().expect("no panic").pop_front() else {
                    break;
                };
                conversation.add(Parcel {
                    dispatch: DispatchId::generate(),
                    notification: NotificationId(1),
                    from: &self.from,
                    to: &letter.to,
                    email: letter.email.clone().into(),
                });
                flying.push_back(letter);
            }
            if flying.is_empty() {
                return;
            }
            for handover in conversation.advance(|_| true).await {
                self.settle(flying.pop_front().expect("its letter"), handover);
            }
        }
        assert!(flying.is_empty(), "a conversation that broke settles all");
    }

    fn settle(&self, letter: Letter, handover: Handover) {
        let means = match handover {
            Handover::Accepted(_) => "accepted".to_owned(),
            Handover::RefusedForNow { phase, .. } => format!("{phase:?} for now"),
            Handover::RefusedForGood { phase, .. } => format!("{phase:?} for good"),
            Handover::Unsent(fault) => {
                assert_eq!(fault.reply().map(|reply| reply.code), Some(421), "{fault}");
                assert_ne!(fault.phase, Phase::Dot, "{fault}");
                return self.waiting.lock().expect("no panic").push_back(letter);
            }
            Handover::Unknown(fault) => panic!("unknown: {fault}"),
        };
        self.outcomes.lock().expect("no panic").push((letter, means));
    }
}

/// Hands all of them over; how many connections that took. Every outcome has to be the right one, and every
/// accepted e-mail delivered once, as it was.
async fn hand_over(relay: &mut RealRelay, letters: Vec<Letter>) -> usize {
    let total = letters.len();
    let work = Work {
        waiting: Mutex::new(letters.into()),
        outcomes: Mutex::default(),
        from: "news@example.com".parse().expect("an address"),
        relay: Relay::new(&config(relay, TlsMode::StartTls)).expect("a relay"),
    };
    let (a, b, c, d) = tokio::join!(work.run(), work.run(), work.run(), work.run());
    let outcomes = work.outcomes.into_inner().expect("no panic");
    assert_eq!(outcomes.len(), total);
    for (letter, means) in &outcomes {
        assert_eq!(means, letter.means, "{}", letter.to);
    }
    let accepted = outcomes.iter().filter(|(letter, _)| letter.means == "accepted");
    let wanted: BTreeMap<_, _> = accepted.map(|(letter, _)| (unix(&letter.email), 1)).collect();
    let delivered = relay.delivered(wanted.len()).await;
    for (email, times) in &delivered {
        let known = wanted.get(email) == Some(times);
        assert!(known, "{times} of {}", String::from_utf8_lossy(email));
    }
    assert_eq!(delivered.len(), wanted.len());
    a + b + c + d
}

#[rstest]
#[case::postfix_chunking("postfix", "", 300)]
#[case::postfix_pipelining("postfix", "chunking", 300)]
#[case::postfix_lockstep("postfix", "chunking pipelining", 200)]
#[case::exim("exim", "", 200)]
#[case::aiosmtpd("aiosmtpd", "", 200)]
#[tokio::test]
async fn every_e_mail_has_its_outcome(#[case] kind: &str, #[case] without: &str, #[case] count: usize) {
    let mut relay = RealRelay::start(kind, without).await;
    let letters: Vec<_> = (0..count).map(|n| letter(n, kind != "aiosmtpd")).collect();
    let refused = letters.iter().filter(|letter| letter.means.starts_with("Rcpt"));
    // With whole e-mails behind each other, so many refused recipients wear a connection out.
    let chunking = without.is_empty() && kind != "aiosmtpd";
    let worn = if chunking { refused.count() / 8 } else { 0 };
    let connections = hand_over(&mut relay, letters).await;
    let wanted = CONNECTIONS..=CONNECTIONS + worn;
    assert!(wanted.contains(&connections), "{connections} connections");
}

/// Servers hang up on those who name many that they refuse; the others are handed over nevertheless.
#[rstest]
#[case::postfix_chunking("postfix", "")]
#[case::postfix_pipelining("postfix", "chunking")]
#[case::exim("exim", "")]
#[tokio::test]
async fn many_in_a_row_are_refused(#[case] kind: &str, #[case] without: &str) {
    let mut relay = RealRelay::start(kind, without).await;
    let refused = |n: &usize| matches!(n % 20, 3 | 13 | 14);
    let row = (0..1_000)
        .filter(refused)
        .chain((1_000..1_100).filter(|n| !refused(n)));
    let letters = row.map(|n| letter(n, true)).collect();
    let connections = hand_over(&mut relay, letters).await;
    assert!(connections <= 50, "{connections} connections");
}

/// The program itself, over TLS and AUTH.
#[tokio::test]
async fn main_job_over_postfix() {
    let mut relay = RealRelay::start("postfix", "").await;
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    db.add_people(7, 300);
    db.add_numbered(7, "perm", 20);
    db.add_numbered(7, "temp", 10);
    let settings = relay.settings(Settings::new(&db, &rabbit));
    let settings = settings.set("SMTP_CONNECTIONS", 3).set("MAX_RETRIES", 1);
    let worker = settings
        .set("RETRY_DELAY", 0.05)
        .set("RETRY_SCHEDULE", "")
        .start()
        .await;
    rabbit.send(&json!({"type": "UPDATED", "event_id": 7})).await;
    assert_eq!(db.wait_closed().await.status, "partial");
    worker.stop().await;
    assert_eq!((db.count("sent"), db.count("failed")), (300, 30));
    for row in db.rows() {
        let reason = match row.to() {
            to if to.starts_with("perm") => "550 5.1.1",
            to if to.starts_with("temp") => "450 4.2.1",
            _ => "",
        };
        assert!(row.status == "sent" || row.reason().contains(reason), "{row:?}");
    }
    let delivered = relay.delivered(300).await;
    assert_eq!((delivered.len(), delivered.values().sum::<usize>()), (300, 300));
    let log = relay.log();
    let connections = log.matches(": connect from").count();
    // The first one is the test's own look at the port; those to temp are asked twice.
    let worn = (20 + 2 * 10) / 8;
    assert!(connections <= 1 + 3 + worn, "{connections} connections");
    rabbit.clean().await;
}
