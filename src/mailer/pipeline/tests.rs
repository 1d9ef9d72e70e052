use bytes::Bytes;
use proptest::prelude::*;
use rstest::rstest;

use super::writing::with_dot;
use super::*;
use crate::mailer::fault::Reply;

#[rstest]
#[case("a\r\n", "a\r\n.\r\n")]
#[case("a", "a\r\n.\r\n")]
#[case("", "\r\n.\r\n")]
#[case(".\r\n..x\r\n.", "..\r\n...x\r\n..\r\n.\r\n")]
#[case("a\n.\nb\r\n", "a\n..\nb\r\n.\r\n")]
#[case("a\r\n.\r\nMAIL", "a\r\n..\r\nMAIL\r\n.\r\n")]
fn dots(#[case] email: &str, #[case] sent: &str) {
    let bytes = Bytes::from(email.to_owned());
    for cut in 0..=email.len() {
        let (own, shared) = (bytes.slice(..cut), bytes.slice(cut..));
        let mut out = b"DATA\r\n".to_vec();
        with_dot(&Email { own, shared }, &mut out);
        assert_eq!(out.strip_prefix(b"DATA\r\n").unwrap(), sent.as_bytes());
    }
}

fn letter(n: usize) -> Letter {
    Letter {
        mail: format!("MAIL FROM:<f{n}@x>\r\n"),
        rcpt: format!("RCPT TO:<t{n}@x>\r\n"),
        email: Email {
            own: format!("text {n}").into(),
            shared: "\r\n".into(),
        },
    }
}

/// A pipeline and the bytes that left, with nothing held back.
struct Rig {
    pipeline: Pipeline,
    out: Vec<u8>,
    settled: Vec<String>,
}

impl Rig {
    fn new(pace: Pace, count: usize) -> Self {
        let mut pipeline = Pipeline::new(pace);
        (0..count).for_each(|n| pipeline.add(letter(n)));
        Self {
            pipeline,
            out: Vec::new(),
            settled: Vec::new(),
        }
    }

    /// What leaves now.
    fn write(&mut self) -> String {
        let before = self.out.len();
        let mut fresh = Vec::new();
        self.pipeline
            .write(&mut fresh, before as u64, &mut |_| true)
            .unwrap();
        self.out.extend_from_slice(&fresh);
        String::from_utf8(fresh).unwrap().replace("\r\n", "|")
    }

    /// Replies with these codes come; what leaves of itself.
    fn read(&mut self, codes: &[u16]) -> Result<String, Fault> {
        let mut out = Vec::new();
        let read = codes
            .iter()
            .try_for_each(|&code| self.pipeline.read(code, || Reply::new(code, &[]), &mut out));
        read?;
        let settled = self.pipeline.settled();
        self.settled.extend(settled.iter().map(word));
        self.out.extend_from_slice(&out);
        Ok(String::from_utf8(out).unwrap().replace("\r\n", "|"))
    }
}

fn word(handover: &Handover) -> String {
    match handover {
        Handover::Accepted(_) => "accepted".into(),
        Handover::RefusedForNow { phase, reply } => format!("{phase} {}", reply.code),
        Handover::RefusedForGood { phase, .. } => format!("{phase} never"),
        Handover::Unsent(fault) => format!("unsent {}", fault.phase),
        Handover::Unknown(_) => "unknown".into(),
    }
}

#[test]
fn in_lockstep_a_command_waits_for_the_reply_before() {
    let mut rig = Rig::new(Pace::Lockstep, 1);
    assert_eq!(rig.write(), "MAIL FROM:<f0@x>|");
    assert_eq!(rig.write(), "");
    rig.read(&[250]).unwrap();
    assert_eq!(rig.write(), "RCPT TO:<t0@x>|");
    rig.read(&[250]).unwrap();
    assert_eq!(rig.write(), "DATA|");
    rig.read(&[354]).unwrap();
    assert_eq!(rig.write(), "text 0|.|");
    rig.read(&[250]).unwrap();
    assert_eq!(rig.settled, ["accepted"]);
}

#[test]
fn the_next_envelope_rides_behind_the_dot() {
    let mut rig = Rig::new(Pace::Pipelined, 2);
    assert_eq!(rig.write(), "MAIL FROM:<f0@x>|RCPT TO:<t0@x>|DATA|");
    rig.read(&[250, 250, 354]).unwrap();
    assert_eq!(rig.write(), "text 0|.|MAIL FROM:<f1@x>|RCPT TO:<t1@x>|DATA|");
    rig.read(&[250]).unwrap();
    assert_eq!(rig.settled, ["accepted"]);
    assert_eq!(rig.write(), "", "the text waits for 354");
    rig.read(&[250, 251, 354]).unwrap();
    assert_eq!(rig.write(), "text 1|.|");
    rig.read(&[250]).unwrap();
    assert_eq!(rig.settled, ["accepted", "accepted"]);
}

#[test]
fn a_refused_recipient_costs_one_round_trip_and_no_connection() {
    let mut rig = Rig::new(Pace::Pipelined, 2);
    rig.write();
    rig.read(&[250, 550, 503]).unwrap();
    assert_eq!(rig.settled, ["rcpt never"]);
    assert_eq!(rig.write(), "RSET|MAIL FROM:<f1@x>|RCPT TO:<t1@x>|DATA|");
    rig.read(&[250, 250, 250, 354]).unwrap();
    rig.write();
    rig.read(&[250]).unwrap();
    assert_eq!(rig.settled, ["rcpt never", "accepted"]);
}

#[test]
fn who_wants_text_for_a_refused_recipient_gets_a_dot_alone() {
    let mut rig = Rig::new(Pace::Pipelined, 1);
    rig.write();
    assert_eq!(rig.read(&[250, 450, 354]).unwrap(), ".|");
    rig.read(&[554]).unwrap();
    assert_eq!(rig.settled, ["rcpt 450"]);
    assert!(rig.pipeline.is_empty() && rig.pipeline.awaits().is_none());
}

#[test]
fn who_wants_text_from_a_refused_sender_gets_none() {
    let mut rig = Rig::new(Pace::Pipelined, 1);
    rig.write();
    let fault = rig.read(&[451, 250, 354]).unwrap_err();
    assert_eq!(
        rig.pipeline
            .break_off(&fault, 1000)
            .iter()
            .map(word)
            .collect::<Vec<_>>(),
        ["unsent mail"]
    );
}

#[test]
fn chunks_leave_together_and_one_refusal_is_nobody_elses() {
    let mut rig = Rig::new(Pace::Chunked, 3);
    let envelope = |n| format!("MAIL FROM:<f{n}@x>|RCPT TO:<t{n}@x>|BDAT 8 LAST|text {n}|");
    let all = [
        envelope(0),
        "RSET|".into(),
        envelope(1),
        "RSET|".into(),
        envelope(2),
    ];
    assert_eq!(rig.write(), all.concat());
    rig.read(&[250, 250, 250, 250, 250, 550, 503, 250, 250, 250, 451])
        .unwrap();
    assert_eq!(rig.settled, ["accepted", "rcpt never", "dot 451"]);
    rig.pipeline.add(letter(3));
    assert!(
        rig.write().starts_with("RSET|MAIL"),
        "after a chunk that failed (RFC 3030 2)"
    );
}

#[test]
fn a_chunk_that_is_withheld_does_not_leave() {
    let mut rig = Rig::new(Pace::Chunked, 3);
    let mut out = Vec::new();
    rig.pipeline.write(&mut out, 0, &mut |index| index != 1).unwrap();
    assert!(!String::from_utf8(out).unwrap().contains("text 1"));
    rig.read(&[250, 250, 250, 250, 250, 250, 250]).unwrap();
    assert_eq!(rig.settled, ["accepted", "unsent data", "accepted"]);
}

#[test]
fn a_text_that_is_withheld_ends_the_connection_before_it() {
    let mut rig = Rig::new(Pace::Pipelined, 1);
    rig.write();
    rig.read(&[250, 250, 354]).unwrap();
    let mut out = Vec::new();
    let fault = rig.pipeline.write(&mut out, 0, &mut |_| false).unwrap_err();
    assert!(out.is_empty() && fault.cause == FaultCause::Withheld);
}

#[test]
fn fewer_travel_at_once_where_some_are_refused() {
    let mut rig = Rig::new(Pace::Chunked, 1);
    rig.write();
    rig.read(&[250, 250, 250]).unwrap();
    assert_eq!(rig.pipeline.room(true), CHUNKED);
    for refused in 1..=WORN {
        rig.pipeline.add(letter(refused));
        rig.write();
        let codes = [250, 250, 550, 503];
        // No RSET behind the accepted one.
        rig.read(&codes[usize::from(refused == 1)..]).unwrap();
        let room = if refused < WORN {
            CHUNKED.min(REFUSALS - refused)
        } else {
            0
        };
        assert_eq!(rig.pipeline.room(true), room);
        assert_eq!(rig.pipeline.is_dead_end(), refused == WORN);
    }
    assert!(rig.settled[1..].iter().all(|outcome| outcome.ends_with("never")));
}

#[test]
fn what_waits_behind_a_dot_can_be_taken_back() {
    let mut rig = Rig::new(Pace::Pipelined, 2);
    rig.write();
    rig.read(&[250, 250, 354]).unwrap();
    rig.write();
    assert_eq!(rig.pipeline.pull_back(), 1);
    assert_eq!(rig.pipeline.room(true), 0);
    rig.read(&[250]).unwrap();
    assert_eq!(rig.settled, ["accepted"]);
    assert!(rig.pipeline.is_empty() && rig.pipeline.is_dead_end());
}

#[rstest]
#[case(Pace::Pipelined, &[250, 250, 354], 1000, &["unknown", "unsent mail"])]
#[case(Pace::Pipelined, &[250, 250, 354, 250], 1000, &["unsent mail"])]
#[case(Pace::Chunked, &[250, 250], 1000, &["unknown", "unknown"])]
#[case(Pace::Chunked, &[250, 250, 250, 250, 250, 550], 1000, &["rcpt never"])]
fn a_break_leaves_nothing_in_doubt_but_texts_without_reply(
    #[case] pace: Pace,
    #[case] codes: &[u16],
    #[case] taken: u64,
    #[case] left: &[&str],
) {
    let mut rig = Rig::new(pace, 2);
    rig.write();
    rig.read(&codes[..codes.len().min(3)]).unwrap();
    rig.write();
    rig.read(&codes[codes.len().min(3)..]).unwrap();
    let phase = rig.pipeline.awaits().unwrap();
    let seen = rig
        .pipeline
        .break_off(&Fault::new(phase, FaultCause::Closed), taken);
    let seen: Vec<_> = seen.iter().map(word).collect();
    // In the second case the relay was at MAIL of the second one.
    let left: Vec<_> = left
        .iter()
        .map(|w| w.replace("unsent rcpt", "unsent mail"))
        .collect();
    assert_eq!(seen, left);
}

#[test]
fn behind_a_farewell_nothing_was_taken() {
    let mut rig = Rig::new(Pace::Chunked, 3);
    rig.write();
    let fault = rig.read(&[250, 250, 250, 250, 421]).unwrap_err();
    let rest = rig.pipeline.break_off(&fault, 10_000);
    assert_eq!(
        rest.iter().map(word).collect::<Vec<_>>(),
        ["accepted", "unsent mail", "unsent mail"]
    );
}

#[test]
fn a_chunk_of_which_a_byte_is_missing_is_unsent() {
    let mut rig = Rig::new(Pace::Chunked, 1);
    let length = rig.write().replace('|', "\r\n").len() as u64;
    let fault = Fault::new(Phase::Mail, FaultCause::Closed);
    assert_eq!(
        word(&rig.pipeline.break_off(&fault, length - 1)[0]),
        "unsent mail"
    );
    let mut rig = Rig::new(Pace::Chunked, 1);
    rig.write();
    assert_eq!(word(&rig.pipeline.break_off(&fault, length)[0]), "unknown");
}

#[test]
fn a_reply_that_nobody_asked_for_ends_the_connection() {
    let mut pipeline = Pipeline::new(Pace::Pipelined);
    let fault = pipeline.read(250, || Reply::new(250, &[]), &mut Vec::new());
    assert!(matches!(fault.unwrap_err().cause, FaultCause::Protocol(_)));
}

fn paces() -> impl Strategy<Value = Pace> {
    prop_oneof![Just(Pace::Lockstep), Just(Pace::Pipelined), Just(Pace::Chunked)]
}

proptest! {
    /// A relay that answers anything: each e-mail has one outcome, none is accepted without a 2yz to its
    /// own text, and none is unsent whose text was let go without a reply.
    #[test]
    fn whatever_a_relay_answers(
        pace in paces(),
        count in 1..6_usize,
        together in 1..6_usize,
        codes in proptest::collection::vec(prop_oneof![
            8 => Just(250_u16), 4 => Just(354), 1 => Just(421), 1 => Just(450), 1 => Just(550),
            1 => Just(552), 1 => Just(503), 1 => Just(220), 1 => Just(530),
        ], 0..40),
    ) {
        let mut rig = Rig::new(pace, count);
        let mut left = codes.iter().copied().enumerate();
        let mut outcomes = Vec::new();
        let fault = loop {
            rig.write();
            if rig.pipeline.is_empty() {
                break None;
            }
            let Some((n, code)) = left.next() else {
                break Some(Fault::new(rig.pipeline.awaits().unwrap_or(Phase::Mail), FaultCause::Closed));
            };
            let mut out = Vec::new();
            let read = rig.pipeline.read(code, || Reply::new(code, &[]), &mut out);
            rig.out.extend_from_slice(&out);
            if n % together == 0 || rig.pipeline.awaits().is_none() {
                outcomes.extend(rig.pipeline.settled());
            }
            if let Err(fault) = read {
                break Some(fault);
            }
        };
        let farewell = fault.as_ref().is_some_and(|f| f.reply().is_some());
        if let Some(fault) = fault {
            outcomes.extend(rig.pipeline.break_off(&fault, rig.out.len() as u64));
        }
        prop_assert_eq!(outcomes.len(), count);
        let sent = String::from_utf8(rig.out).unwrap();
        for (n, outcome) in outcomes.iter().enumerate() {
            let text_left = sent.contains(&format!("text {n}\r\n"));
            match outcome {
                Handover::Accepted(reply) => prop_assert!(text_left && reply.code == 250 || reply.code == 220),
                Handover::Unknown(_) => prop_assert!(text_left),
                Handover::Unsent(fault) => {
                    prop_assert!(!text_left || farewell || fault.reply().is_some(), "{}: {:?}", n, fault);
                }
                _ => {}
            }
        }
        // Each text at most once, each behind its own envelope.
        for n in 0..count {
            let times = sent.matches(&format!("text {n}\r\n")).count();
            prop_assert!(times <= 1, "{} times", times);
        }
    }
}
