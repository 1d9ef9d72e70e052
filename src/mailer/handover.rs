//! What became of one e-mail: the failure table, in one place.

use std::fmt;

use super::fault::{Fault, FaultCause, Phase, Reply};

/// What became of one e-mail at the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handover {
    /// 2yz to the final dot, and nothing else.
    Accepted(Reply),
    /// This recipient, not now: the attempt is charged and may be repeated.
    RefusedForNow {
        /// Where.
        phase: Phase,
        /// 4yz, or 552 to RCPT.
        reply: Reply,
    },
    /// This recipient or this e-mail, never.
    RefusedForGood {
        /// Where.
        phase: Phase,
        /// What the relay says, or lacks.
        refusal: Refusal,
    },
    /// Certainly not handed over, and not the recipient's fault: nobody is charged.
    Unsent(Fault),
    /// The final dot may have left and no reply came: nobody can know.
    Unknown(Fault),
}

/// Why a recipient or an e-mail is refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The relay says so.
    Reply(Reply),
    /// The recipient's address is not ASCII, and the relay does not offer SMTPUTF8 (RFC 6531).
    NoSmtpUtf8,
    /// The e-mail is larger than the relay takes (RFC 1870).
    TooLarge {
        /// In bytes.
        limit: usize,
    },
}

impl Refusal {
    /// The relay's reply, where there was one.
    pub const fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Reply(reply) => Some(reply),
            Self::NoSmtpUtf8 | Self::TooLarge { .. } => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(reply) => reply.fmt(f),
            Self::TooLarge { limit } => {
                write!(
                    f,
                    "the e-mail is larger than the {limit} bytes that the relay takes"
                )
            }
            Self::NoSmtpUtf8 => {
                f.write_str("the recipient's address needs SMTPUTF8, which the relay does not offer")
            }
        }
    }
}

/// What a reply to MAIL, RCPT, DATA or the dot that is not the wanted one means.
pub(super) fn refused(phase: Phase, reply: Reply) -> Handover {
    let relay = |reply| Handover::Unsent(Fault::new(phase, FaultCause::Reply(reply)));
    let for_now = |reply| Handover::RefusedForNow { phase, reply };
    let for_good = |reply| Handover::RefusedForGood {
        phase,
        refusal: Refusal::Reply(reply),
    };
    match (phase, reply.code) {
        (_, 421 | 530 | 535) => relay(reply),
        // RFC 5321 4.5.3.1.10: 552 to RCPT is "too many recipients" in the words of older servers.
        (Phase::Rcpt, 552) | (Phase::Rcpt | Phase::Data | Phase::Dot, 400..=499) => for_now(reply),
        (Phase::Mail, 552 | 555) | (Phase::Rcpt | Phase::Data | Phase::Dot, 500..=599) => for_good(reply),
        (_, 400..=599) => relay(reply),
        _ => {
            let fault = Fault::new(phase, FaultCause::Protocol(format!("unexpected reply {reply}")));
            if phase == Phase::Dot {
                Handover::Unknown(fault)
            } else {
                Handover::Unsent(fault)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Phase::Mail, 421, "unsent")]
    #[case(Phase::Mail, 451, "unsent")]
    #[case(Phase::Mail, 452, "unsent")]
    #[case(Phase::Mail, 530, "unsent")]
    #[case(Phase::Mail, 550, "unsent")]
    #[case(Phase::Mail, 552, "for good")]
    #[case(Phase::Mail, 555, "for good")]
    #[case(Phase::Mail, 354, "unsent")]
    #[case(Phase::Rcpt, 421, "unsent")]
    #[case(Phase::Rcpt, 450, "for now")]
    #[case(Phase::Rcpt, 550, "for good")]
    #[case(Phase::Rcpt, 552, "for now")]
    #[case(Phase::Rcpt, 530, "unsent")]
    #[case(Phase::Rcpt, 354, "unsent")]
    #[case(Phase::Data, 421, "unsent")]
    #[case(Phase::Data, 451, "for now")]
    #[case(Phase::Data, 554, "for good")]
    #[case(Phase::Data, 250, "unsent")]
    #[case(Phase::Dot, 421, "unsent")]
    #[case(Phase::Dot, 452, "for now")]
    #[case(Phase::Dot, 552, "for good")]
    #[case(Phase::Dot, 554, "for good")]
    #[case(Phase::Dot, 535, "unsent")]
    #[case(Phase::Dot, 354, "unknown")]
    fn the_failure_table(#[case] phase: Phase, #[case] code: u16, #[case] means: &str) {
        let seen = match refused(phase, Reply::new(code, &[])) {
            Handover::Accepted(_) => "accepted",
            Handover::RefusedForNow { .. } => "for now",
            Handover::RefusedForGood { .. } => "for good",
            Handover::Unsent(_) => "unsent",
            Handover::Unknown(_) => "unknown",
        };
        assert_eq!(seen, means);
    }
}
