//! One conversation with a relay: EHLO, AUTH, and e-mails, as many under way as the relay can take.
//!
//! A conversation that broke anywhere (a time limit, an unexpected reply) says so through
//! [`Conversation::is_usable`] and never sends again: replies stay in step.

use std::time::Duration;

use lettre::transport::smtp::commands::Ehlo;
use lettre::transport::smtp::extension::ClientId;
use tokio::time::Instant;

use super::fault::{Fault, FaultCause, Phase};
use super::handover::Handover;
use super::lines::Lines;
use super::offers::Offers;
use super::parcel::Parcel;
use super::pipeline::{Letter, Pace, Pipeline, unexpected};
use super::wire::Wire;
use crate::config::RelayConfig;

/// How long a relay may take over QUIT, when nothing depends on it any more.
const FAREWELL: Duration = Duration::from_secs(2);

/// A relay that takes longer over a final dot gets no e-mail behind it: that one would wait here while
/// others are free.
const BRISK: Duration = Duration::from_millis(500);

/// A connection on which nothing happened for so long begins with one e-mail.
const FRESH: Duration = Duration::from_secs(1);

/// Room for what is to be written that a connection keeps while it has nothing to write.
const KEPT: usize = 1 << 20;

/// An open conversation with a relay.
#[derive(Debug)]
pub struct Conversation {
    wire: Wire,
    pub(super) offers: Offers,
    timeout: Duration,
    data_timeout: Duration,
    usable: bool,
    pipeline: Pipeline,
    /// Written by the pipeline, not yet taken by the socket.
    out: Vec<u8>,
    /// Bytes at the beginning of `out` that the socket took all the same: a large text moves seldom.
    gone: usize,
    /// Bytes of transactions that the socket took: these may arrive, the rest certainly does not.
    taken: u64,
    /// The last byte taken, or the last reply.
    since: Instant,
    /// The last answer to a final dot came soon.
    brisk: bool,
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
            pipeline: Pipeline::new(Pace::Lockstep),
            out: Vec::new(),
            gone: 0,
            taken: 0,
            since: Instant::now(),
            brisk: false,
        };
        let hello = Ehlo::new(own_name.clone()).to_string();
        let lines = conversation.exchange(Phase::Hello, &hello).await?;
        if matches!(lines.code, 500 | 501 | 502 | 504) {
            // A relay of before 1995 offers nothing, and may take e-mails all the same (RFC 5321 3.2).
            conversation
                .ask(Phase::Hello, &format!("HELO {own_name}\r\n"))
                .await?;
            return Ok(conversation);
        }
        Self::positive(Phase::Hello, &lines)?;
        conversation.offers = Offers::from_lines(&lines.lines);
        conversation.pipeline = Pipeline::new(conversation.offers.pace());
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
            if self.usable && self.pipeline.is_empty() {
                // Whatever the answer is.
                let _ = self.wire.command("QUIT\r\n", FAREWELL).await;
            }
            self.wire.close().await;
        })
        .await;
    }

    /// How many e-mails may be added now to those that are under way.
    pub fn room(&self) -> usize {
        if self.usable {
            self.pipeline.room(self.brisk)
        } else {
            0
        }
    }

    /// Adds an e-mail to those that are under way; it leaves with [`Conversation::advance`].
    pub fn add(&mut self, parcel: Parcel<'_>) {
        // A connection that lay idle may be gone: the first e-mail tells, at no other's price.
        self.brisk &= !self.pipeline.is_empty() || self.since.elapsed() < FRESH;
        match self.letter(parcel) {
            Ok(letter) => self.pipeline.add(letter),
            Err(outcome) => self.pipeline.add_settled(outcome),
        }
    }

    /// Writes and reads until something is certain of at least one e-mail: the outcomes, in the order of
    /// adding. Nothing under way, nothing certain. `go_ahead` is asked with an e-mail's place among those
    /// under way right before its text leaves; if it says no, nothing of it is handed over.
    ///
    /// It can be dropped and called again; what had left by then has left.
    pub async fn advance(&mut self, mut go_ahead: impl FnMut(usize) -> bool) -> Vec<Handover> {
        loop {
            let settled = self.pipeline.settled();
            if !settled.is_empty() || self.pipeline.is_empty() {
                self.usable &= !(self.pipeline.is_empty() && self.pipeline.is_dead_end());
                return settled;
            }
            if let Err(fault) = self.step(&mut go_ahead).await {
                self.usable = false;
                return self.pipeline.break_off(&fault, self.taken);
            }
        }
    }

    /// Takes back those of the last added e-mails whose text has not left; how many.
    pub fn pull_back(&mut self) -> usize {
        self.pipeline.pull_back()
    }

    async fn step(&mut self, go_ahead: &mut impl FnMut(usize) -> bool) -> Result<(), Fault> {
        if !self.usable {
            return Err(Fault::new(Phase::Mail, FaultCause::Unusable));
        }
        if self.pipeline.awaits().is_none() && self.out.is_empty() {
            // Between two transactions it may have said farewell.
            let idle = self.wire.check_idle();
            idle.map_err(|cause| Fault::new(self.pipeline.stands_at(), cause))?;
            self.since = Instant::now();
        }
        let written = self.taken - self.gone as u64;
        self.pipeline.write(&mut self.out, written, go_ahead)?;
        if self.take_replies()? {
            return Ok(());
        }
        let phase = self.pipeline.awaits().unwrap_or(Phase::Mail);
        // A relay may hold its replies to a flight back until it has looked at the texts in it.
        let limit = if self.pipeline.has_text_out(self.taken) {
            self.data_timeout
        } else {
            self.timeout
        };
        let progress =
            tokio::time::timeout_at(self.since + limit, self.wire.progress(&self.out[self.gone..])).await;
        match progress.unwrap_or(Err(FaultCause::Timeout(limit))) {
            Ok(0) => {}
            Ok(taken) => {
                self.taken += taken as u64;
                self.forget(taken);
                self.since = Instant::now();
            }
            Err(cause) => {
                // What was said before the end still counts.
                self.wire.listen();
                self.take_replies()?;
                return Err(Fault::new(self.pipeline.awaits().unwrap_or(phase), cause));
            }
        }
        self.take_replies().map(|_| ())
    }

    /// The socket took so many bytes more.
    fn forget(&mut self, taken: usize) {
        self.gone += taken;
        if self.gone * 2 >= self.out.len() {
            self.out.drain(..self.gone);
            self.gone = 0;
        }
        if self.out.is_empty() {
            self.out.shrink_to(KEPT);
        }
    }

    /// Takes note of the replies that are there; whether there were any.
    fn take_replies(&mut self) -> Result<bool, Fault> {
        let mut any = false;
        // One that nobody asked for stays where it is and is found before the next command.
        while let Some(phase) = self.pipeline.awaits() {
            let heard = self.wire.next_reply();
            let Some((code, bytes)) = heard.map_err(|cause| Fault::new(phase, cause))? else {
                break;
            };
            if phase == Phase::Dot {
                self.brisk = self.since.elapsed() < BRISK;
            }
            self.since = Instant::now();
            let reply = || Lines::read(code, &bytes).reply();
            self.pipeline.read(code, reply, &mut self.out)?;
            any = true;
        }
        Ok(any)
    }

    fn letter(&self, parcel: Parcel<'_>) -> Result<Letter, Handover> {
        let parameters = self.offers.parameters(&parcel)?;
        Ok(Letter {
            mail: format!("MAIL FROM:<{}>{parameters}\r\n", parcel.from),
            rcpt: format!("RCPT TO:<{}>\r\n", parcel.to),
            email: parcel.email,
        })
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
