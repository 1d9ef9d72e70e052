//! What can go wrong on the way to a relay, and what its replies say.

use std::fmt;
use std::time::Duration;

use crate::domain::one_line;

/// Longest reply text that is kept, in characters.
const MAX_TEXT: usize = 500;

/// Where in a conversation something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Finding the relay's addresses and connecting.
    Connect,
    /// Its first words.
    Greeting,
    /// STARTTLS (RFC 3207) or the TLS handshake.
    Tls,
    /// EHLO.
    Hello,
    /// AUTH (RFC 4954).
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA, and the e-mail up to its final dot.
    Data,
    /// From the first byte that may carry the final dot until its reply.
    Dot,
    /// A post to a webhook, whole.
    Webhook,
}

impl Phase {
    /// The word for logs and the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Greeting => "greeting",
            Self::Tls => "tls",
            Self::Hello => "ehlo",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Dot => "dot",
            Self::Webhook => "webhook",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A relay's reply: code, enhanced code (RFC 2034) if it has one, and its text on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 … 599.
    pub code: u16,
    /// Class, subject and detail (RFC 3463); the class agrees with `code`.
    pub enhanced: Option<(u8, u16, u16)>,
    /// All lines joined, without the enhanced code, cleaned, at most 500 characters.
    pub text: String,
}

impl Reply {
    pub(super) fn new(code: u16, lines: &[String]) -> Self {
        let mut enhanced = None;
        let mut text = String::new();
        for line in lines {
            let (found, rest) = match split_enhanced(code, line) {
                Some((found, rest)) => (Some(found), rest),
                None => (None, line.as_str()),
            };
            enhanced = enhanced.or(found);
            text.push(' ');
            text.push_str(rest);
        }
        Self {
            code,
            enhanced,
            text: one_line(&text, MAX_TEXT),
        }
    }

    /// 2yz: done as asked.
    pub const fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 4yz: not now.
    pub const fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5yz: never.
    pub const fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// Whether it reads like a policy against the sender rather than the recipient: 5.7.x, or 554
    /// without an enhanced code. Many of these in a row close a lane.
    pub const fn is_policy(&self) -> bool {
        matches!((self.code, self.enhanced), (_, Some((5, 7, _))) | (554, None))
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some((class, subject, detail)) = self.enhanced {
            write!(f, " {class}.{subject}.{detail}")?;
        }
        if self.text.is_empty() {
            Ok(())
        } else {
            write!(f, " {}", self.text)
        }
    }
}

/// `5.1.1 No such user` → `((5, 1, 1), "No such user")`, if the class agrees with `code`.
fn split_enhanced(code: u16, line: &str) -> Option<((u8, u16, u16), &str)> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut numbers = word.split('.').map(|n| {
        let digits = (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| n.parse::<u16>().ok()).flatten()
    });
    let (class, subject, detail) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let agrees = matches!(class, 2 | 4 | 5) && class == code / 100 && numbers.next().is_none();
    agrees.then_some(((u8::try_from(class).ok()?, subject, detail), rest))
}

/// The relay, or the way to it, failed: no recipient is to blame and no attempt is charged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{phase}: {cause}")]
pub struct Fault {
    /// Where.
    pub phase: Phase,
    /// Why.
    pub cause: FaultCause,
}

impl Fault {
    pub(super) const fn new(phase: Phase, cause: FaultCause) -> Self {
        Self { phase, cause }
    }

    /// The relay's reply, where one was the cause.
    pub const fn reply(&self) -> Option<&Reply> {
        match &self.cause {
            FaultCause::Reply(reply) => Some(reply),
            _ => None,
        }
    }

    /// Whether the relay refuses this sender for good (5yz to EHLO, AUTH or MAIL, 530 and 535
    /// anywhere, no AUTH or SMTPUTF8 where the sender needs it): trying again does not help before
    /// somebody changes the configuration.
    pub fn blames_sender(&self) -> bool {
        match &self.cause {
            FaultCause::NoAuth | FaultCause::NoSmtpUtf8 => true,
            FaultCause::Reply(reply) => {
                let asked_as_sender = matches!(self.phase, Phase::Hello | Phase::Auth | Phase::Mail);
                matches!(reply.code, 530 | 535) || (asked_as_sender && reply.is_permanent())
            }
            _ => false,
        }
    }
}

/// Why a conversation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultCause {
    /// The name has no address.
    #[error("the relay's name does not resolve: {0}")]
    Unresolved(String),
    /// The socket failed.
    #[error("{0}")]
    Io(String),
    /// The relay closed the connection without a reply.
    #[error("the relay closed the connection")]
    Closed,
    /// Nothing came, or nothing could be written, in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The handshake failed, a certificate that is not trusted among the reasons.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// A negative reply.
    #[error("the relay answered {0}")]
    Reply(Reply),
    /// Something that is not SMTP, or not at this point.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// STARTTLS is required, and the relay does not offer it.
    #[error("the relay does not offer STARTTLS, which is required (SMTP_USE_TLS)")]
    NoStartTls,
    /// Credentials are set, and the relay offers neither AUTH PLAIN nor AUTH LOGIN.
    #[error("the relay offers neither AUTH PLAIN nor AUTH LOGIN, but a user name is set")]
    NoAuth,
    /// The sender's address is not ASCII, and the relay does not offer SMTPUTF8.
    #[error("the sender's address needs SMTPUTF8, which the relay does not offer")]
    NoSmtpUtf8,
    /// An earlier exchange on this connection failed or was cancelled: its replies cannot be told
    /// from new ones.
    #[error("the connection is no longer in step with the relay")]
    Unusable,
    /// The caller took its leave back before the final dot.
    #[error("withheld before the final dot")]
    Withheld,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(550, "5.1.1 No such user", Some((5, 1, 1)), "No such user")]
    #[case(550, "5.1.1", Some((5, 1, 1)), "")]
    #[case(550, "4.1.1 class disagrees", None, "4.1.1 class disagrees")]
    #[case(550, "5.1 too short", None, "5.1 too short")]
    #[case(550, "5.1.1.1 too long", None, "5.1.1.1 too long")]
    #[case(250, "2.0.0 ok\r\u{7}", Some((2, 0, 0)), "ok")]
    #[case(354, "3.0.0 no such class", None, "3.0.0 no such class")]
    #[case(550, "5.7777.1 no", None, "5.7777.1 no")]
    #[case(550, "", None, "")]
    fn replies(
        #[case] code: u16,
        #[case] line: &str,
        #[case] enhanced: Option<(u8, u16, u16)>,
        #[case] text: &str,
    ) {
        let reply = Reply::new(code, &[line.to_owned()]);
        assert_eq!((reply.enhanced, reply.text.as_str()), (enhanced, text));
    }

    #[test]
    fn lines_are_joined_without_repeating_the_code() {
        let reply = Reply::new(550, &["5.1.1 No such".into(), "5.1.1 user here".into()]);
        assert_eq!(reply.to_string(), "550 5.1.1 No such user here");
        let long = Reply::new(550, &["x".repeat(9000)]);
        assert_eq!(long.text.chars().count(), MAX_TEXT);
    }

    #[rstest]
    #[case(Phase::Mail, 550, true)]
    #[case(Phase::Hello, 502, true)]
    #[case(Phase::Rcpt, 530, true)]
    #[case(Phase::Dot, 535, true)]
    #[case(Phase::Mail, 451, false)]
    #[case(Phase::Greeting, 554, false)]
    #[case(Phase::Rcpt, 421, false)]
    fn blame(#[case] phase: Phase, #[case] code: u16, #[case] sender: bool) {
        let cause = FaultCause::Reply(Reply::new(code, &[]));
        assert_eq!(Fault::new(phase, cause).blames_sender(), sender);
    }

    #[test]
    fn policy() {
        assert!(Reply::new(554, &["Relay access denied".into()]).is_policy());
        assert!(Reply::new(550, &["5.7.1 Relay access denied".into()]).is_policy());
        assert!(!Reply::new(554, &["5.1.1 No such user".into()]).is_policy());
        assert!(!Reply::new(550, &["No such user".into()]).is_policy());
    }
}
