//! One conversation with a relay: EHLO, AUTH, and one transaction after the other.
//!
//! A conversation that was cut off anywhere (a cancelled future, a time limit, an unexpected reply)
//! says so through [`Conversation::is_usable`] and never sends again: replies stay in step.

use std::time::Duration;

use lettre::transport::smtp::commands::Ehlo;
use lettre::transport::smtp::extension::ClientId;

use super::fault::{Fault, FaultCause, Phase, Reply};
use super::handover::{Handover, Refusal, refused};
use super::offers::Offers;
use super::wire::{Lines, Wire};
use crate::config::RelayConfig;
use crate::domain::EmailAddress;

/// How long a relay may take over QUIT, when nothing depends on it any more.
const FAREWELL: Duration = Duration::from_secs(2);

/// An open conversation with a relay.
#[derive(Debug)]
pub struct Conversation {
    wire: Wire,
    pub(super) offers: Offers,
    timeout: Duration,
    data_timeout: Duration,
    usable: bool,
}

/// Why a transaction ended before its e-mail was accepted.
struct Ended {
    means: Handover,
    /// Whether the relay still waits in step for the next command.
    in_step: bool,
    /// Whether RSET is needed before the next MAIL.
    open: bool,
}

impl Conversation {
    /// Says EHLO over a connection that was greeted or just encrypted.
    pub(super) async fn open(wire: Wire, config: &RelayConfig, own_name: &ClientId) -> Result<Self, Fault> {
        let mut conversation = Self {
            wire,
            offers: Offers::default(),
            timeout: config.timeout,
            data_timeout: config.data_timeout,
            usable: true,
        };
        let hello = Ehlo::new(own_name.clone()).to_string();
        let lines = conversation.ask(Phase::Hello, &hello).await?;
        conversation.offers = Offers::from_lines(&lines.lines);
        Ok(conversation)
    }

    /// Asks for TLS and gives the connection back, ready for the handshake. A relay that does not
    /// offer it ends the conversation: there is no fallback.
    pub(super) async fn start_tls(mut self) -> Result<Wire, Fault> {
        if !self.offers.starttls {
            return Err(Fault::new(Phase::Tls, FaultCause::NoStartTls));
        }
        self.ask(Phase::Tls, "STARTTLS\r\n").await?;
        Ok(self.wire)
    }

    /// Whether another e-mail may be handed over here.
    pub const fn is_usable(&self) -> bool {
        self.usable
    }

    /// Whether the conversation is encrypted.
    pub const fn is_encrypted(&self) -> bool {
        self.wire.is_encrypted()
    }

    /// Takes leave. Bounded by a short time limit; failures change nothing any more.
    pub async fn quit(mut self) {
        let _ = tokio::time::timeout(FAREWELL, async {
            if self.usable {
                // Whatever the answer is.
                let _ = self.wire.command("QUIT\r\n", FAREWELL).await;
            }
            self.wire.close().await;
        })
        .await;
    }

    /// Hands `email` (a whole one, CRLF line ends) over for one recipient.
    pub async fn hand_over(&mut self, from: &EmailAddress, to: &EmailAddress, email: &[u8]) -> Handover {
        self.hand_over_if(from, to, email, || true).await
    }

    /// The same, but asks `go_ahead` right before the bytes that may carry the final dot; if it says
    /// no, nothing is handed over and the conversation is not usable any more.
    pub async fn hand_over_if(
        &mut self,
        from: &EmailAddress,
        to: &EmailAddress,
        email: &[u8],
        go_ahead: impl FnOnce() -> bool,
    ) -> Handover {
        // Set again only at a clean end, so a future dropped in between leaves it unusable.
        if !std::mem::replace(&mut self.usable, false) {
            return Handover::Unsent(Fault::new(Phase::Mail, FaultCause::Unusable));
        }
        match self.transact(from, to, email, go_ahead).await {
            Ok(reply) => {
                self.usable = true;
                Handover::Accepted(reply)
            }
            Err(ended) => {
                self.usable = ended.in_step && (!ended.open || self.reset().await);
                ended.means
            }
        }
    }

    async fn transact(
        &mut self,
        from: &EmailAddress,
        to: &EmailAddress,
        email: &[u8],
        go_ahead: impl FnOnce() -> bool,
    ) -> Result<Reply, Ended> {
        let parameters = self.parameters(from, to, email)?;
        let mail = format!("MAIL FROM:<{from}>{parameters}\r\n");
        self.step(Phase::Mail, &mail, 2).await?;
        self.step(Phase::Rcpt, &format!("RCPT TO:<{to}>\r\n"), 2).await?;
        self.step(Phase::Data, "DATA\r\n", 3).await?;
        if !go_ahead() {
            return Err(Ended::out_of_step(Handover::Unsent(Fault::new(
                Phase::Data,
                FaultCause::Withheld,
            ))));
        }
        self.send_data(email).await
    }

    /// SMTPUTF8 and 8BITMIME where the e-mail needs them (RFC 6531, RFC 6152).
    fn parameters(
        &self,
        from: &EmailAddress,
        to: &EmailAddress,
        email: &[u8],
    ) -> Result<&'static str, Ended> {
        let utf8 = from.needs_smtputf8() || to.needs_smtputf8() || !email.is_ascii();
        if !utf8 {
            return Ok("");
        }
        if self.offers.smtputf8 {
            return Ok(if self.offers.eightbit {
                " SMTPUTF8 BODY=8BITMIME"
            } else {
                " SMTPUTF8"
            });
        }
        Err(Ended::in_step(if from.needs_smtputf8() {
            Handover::Unsent(Fault::new(Phase::Mail, FaultCause::NoSmtpUtf8))
        } else {
            Handover::RefusedForGood {
                phase: Phase::Rcpt,
                refusal: Refusal::NoSmtpUtf8,
            }
        }))
    }

    /// A command of the transaction, whose reply has to begin with `wanted`.
    async fn step(&mut self, phase: Phase, line: &str, wanted: u16) -> Result<Reply, Ended> {
        let lines = self.wire.command(line, self.timeout).await;
        let reply = lines
            .map_err(|cause| Ended::out_of_step(Handover::Unsent(Fault::new(phase, cause))))?
            .reply();
        if reply.code / 100 == wanted {
            return Ok(reply);
        }
        Err(Ended::refused(phase, reply))
    }

    /// The e-mail and its final dot, which leave together, and the reply to the dot.
    async fn send_data(&mut self, email: &[u8]) -> Result<Reply, Ended> {
        let data = with_dot(email);
        // Up to here only text before the dot has left, if anything.
        let dot = data.len() - ".\r\n".len();
        if let Err(cut) = self.wire.write(&data, self.timeout).await {
            return Err(Ended::out_of_step(if cut.taken <= dot {
                Handover::Unsent(Fault::new(Phase::Data, cut.cause))
            } else {
                Handover::Unknown(Fault::new(Phase::Dot, cut.cause))
            }));
        }
        let reply = match self.wire.reply(self.data_timeout).await {
            Ok(lines) => lines.reply(),
            Err(cause) => {
                return Err(Ended::out_of_step(Handover::Unknown(Fault::new(
                    Phase::Dot,
                    cause,
                ))));
            }
        };
        if reply.is_positive() {
            Ok(reply)
        } else {
            Err(Ended::refused(Phase::Dot, reply))
        }
    }

    async fn reset(&mut self) -> bool {
        let lines = self.wire.command("RSET\r\n", self.timeout).await;
        lines.is_ok_and(|lines| lines.code / 100 == 2)
    }

    /// A command before any transaction, with whatever reply.
    pub(super) async fn exchange(&mut self, phase: Phase, line: &str) -> Result<Lines, Fault> {
        let lines = self.wire.command(line, self.timeout).await;
        lines.map_err(|cause| Fault::new(phase, cause))
    }

    /// A command before any transaction, with a positive reply.
    async fn ask(&mut self, phase: Phase, line: &str) -> Result<Lines, Fault> {
        let lines = self.exchange(phase, line).await?;
        Self::positive(phase, &lines)?;
        Ok(lines)
    }

    pub(super) fn positive(phase: Phase, lines: &Lines) -> Result<(), Fault> {
        match lines.code / 100 {
            2 => return Ok(()),
            3 => {}
            _ => return Err(Fault::new(phase, FaultCause::Reply(lines.reply()))),
        }
        Err(Fault::new(phase, unexpected(&lines.reply())))
    }
}

impl Ended {
    const fn in_step(means: Handover) -> Self {
        Self {
            means,
            in_step: true,
            open: false,
        }
    }

    const fn out_of_step(means: Handover) -> Self {
        Self {
            means,
            in_step: false,
            open: false,
        }
    }

    fn refused(phase: Phase, reply: Reply) -> Self {
        let in_step = reply.code != 421 && reply.code >= 400;
        let open = matches!(phase, Phase::Rcpt | Phase::Data);
        Self {
            means: refused(phase, reply),
            in_step,
            open,
        }
    }
}

/// `email` with the dots at the beginning of lines doubled, a line end, and the final dot
/// (RFC 5321 4.5.2).
fn with_dot(email: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(email.len() + email.len() / 50 + 5);
    for line in email.split_inclusive(|&b| b == b'\n') {
        if line.starts_with(b".") {
            data.push(b'.');
        }
        data.extend_from_slice(line);
    }
    if !data.ends_with(b"\r\n") {
        data.extend_from_slice(b"\r\n");
    }
    data.extend_from_slice(b".\r\n");
    data
}

pub(super) fn unexpected(reply: &Reply) -> FaultCause {
    FaultCause::Protocol(format!("unexpected reply {reply}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("a\r\n", "a\r\n.\r\n")]
    #[case("a", "a\r\n.\r\n")]
    #[case("", "\r\n.\r\n")]
    #[case(".\r\n..x\r\n.", "..\r\n...x\r\n..\r\n.\r\n")]
    #[case("a\n.\nb\r\n", "a\n..\nb\r\n.\r\n")]
    #[case("a\r\n.\r\nMAIL", "a\r\n..\r\nMAIL\r\n.\r\n")]
    fn dots(#[case] email: &str, #[case] sent: &str) {
        assert_eq!(with_dot(email.as_bytes()), sent.as_bytes());
    }
}
