//! Which commands may leave now.

use memchr::memmem;

use super::{FULL, Pace, Pipeline, Progress, Step};
use crate::mailer::fault::{Fault, FaultCause, Phase};
use crate::mailer::handover::Handover;
use crate::mailer::parcel::Email;

impl Pipeline {
    /// Appends to `out` what may leave now; `written` bytes of the connection come before `out`. The sender
    /// of an e-mail is asked by its index right before its text.
    pub(in crate::mailer) fn write(
        &mut self,
        out: &mut Vec<u8>,
        written: u64,
        go_ahead: &mut impl FnMut(usize) -> bool,
    ) -> Result<(), Fault> {
        for index in 0..self.flying.len() {
            if out.len() > FULL {
                break;
            }
            let done = match self.pace {
                Pace::Chunked => self.write_chunk(index, out, written, go_ahead),
                Pace::Pipelined | Pace::Lockstep => self.write_classic(index, out, written, go_ahead)?,
            };
            if !done {
                break;
            }
        }
        Ok(())
    }

    /// The whole e-mail at once.
    fn write_chunk(
        &mut self,
        index: usize,
        out: &mut Vec<u8>,
        written: u64,
        go_ahead: &mut impl FnMut(usize) -> bool,
    ) -> bool {
        if self.flying[index].progress != Progress::Nothing {
            return true;
        }
        if !go_ahead(index) {
            self.flying[index].settle(withheld());
            return true;
        }
        // Behind others that may be refused, RSET keeps one's refusal from being another's.
        if self.stale || !self.expected.is_empty() {
            self.command(Step::Reset, "RSET\r\n", out);
        }
        self.stale = false;
        self.envelope(index, out);
        let flying = &mut self.flying[index];
        let email = &flying.letter.email;
        out.extend_from_slice(format!("BDAT {} LAST\r\n", email.len()).as_bytes());
        out.extend_from_slice(&email.own);
        out.extend_from_slice(&email.shared);
        // The last byte but one: without the last the chunk is not whole.
        flying.whole_after = Some(written + out.len() as u64 - 1);
        flying.progress = Progress::Text;
        flying.letter.email = Vec::new().into();
        self.expected.push_back(Step::Dot);
        true
    }

    /// Envelope, then text; returns whether the next e-mail's envelope may follow at once.
    fn write_classic(
        &mut self,
        index: usize,
        out: &mut Vec<u8>,
        written: u64,
        go_ahead: &mut impl FnMut(usize) -> bool,
    ) -> Result<bool, Fault> {
        let lockstep = self.pace == Pace::Lockstep;
        if lockstep && !self.expected.is_empty() {
            return Ok(false);
        }
        match self.flying[index].progress {
            Progress::Nothing if lockstep && self.stale => {
                self.stale = false;
                self.command(Step::Reset, "RSET\r\n", out);
            }
            Progress::Nothing if lockstep => self.mail(index, out),
            Progress::Mail => self.rcpt(index, out),
            Progress::Rcpt => self.data(index, out),
            Progress::Nothing => {
                if std::mem::take(&mut self.stale) {
                    self.command(Step::Reset, "RSET\r\n", out);
                }
                self.envelope(index, out);
                self.data(index, out);
            }
            Progress::Asked => {
                if !go_ahead(index) {
                    return Err(Fault::new(Phase::Data, FaultCause::Withheld));
                }
                let flying = &mut self.flying[index];
                with_dot(&flying.letter.email, out);
                flying.whole_after = Some(written + (out.len() - ".\r\n".len()) as u64);
                flying.progress = Progress::Text;
                flying.letter.email = Vec::new().into();
                self.expected.push_back(Step::Dot);
                return Ok(!lockstep);
            }
            Progress::Data => {}
            Progress::Text | Progress::Over => return Ok(!lockstep),
        }
        Ok(false)
    }

    fn envelope(&mut self, index: usize, out: &mut Vec<u8>) {
        self.mail(index, out);
        self.rcpt(index, out);
    }

    fn mail(&mut self, index: usize, out: &mut Vec<u8>) {
        let flying = &mut self.flying[index];
        flying.progress = Progress::Mail;
        out.extend_from_slice(flying.letter.mail.as_bytes());
        self.expected.push_back(Step::Mail);
    }

    fn rcpt(&mut self, index: usize, out: &mut Vec<u8>) {
        let flying = &mut self.flying[index];
        flying.progress = Progress::Rcpt;
        out.extend_from_slice(flying.letter.rcpt.as_bytes());
        self.expected.push_back(Step::Rcpt);
    }

    fn data(&mut self, index: usize, out: &mut Vec<u8>) {
        self.flying[index].progress = Progress::Data;
        self.command(Step::Data, "DATA\r\n", out);
    }

    pub(super) fn command(&mut self, step: Step, line: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(line.as_bytes());
        self.expected.push_back(step);
    }
}

fn withheld() -> Handover {
    Handover::Unsent(Fault::new(Phase::Data, FaultCause::Withheld))
}

/// Appends `email` with the dots at the beginning of lines doubled, a line end, and the final dot
/// (RFC 5321 4.5.2).
pub(super) fn with_dot(email: &Email, out: &mut Vec<u8>) {
    out.reserve(email.len() + email.own.len() / 50 + 5);
    let start = out.len();
    for part in [&email.own, &email.shared] {
        let begins_line = out.len() == start || out.ends_with(b"\n");
        if begins_line && part.starts_with(b".") {
            out.push(b'.');
        }
        let mut rest = &part[..];
        while let Some(end) = memmem::find(rest, b"\n.") {
            out.extend_from_slice(&rest[..=end]);
            out.push(b'.');
            rest = &rest[end + 1..];
        }
        out.extend_from_slice(rest);
    }
    if !out[start..].ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
}
