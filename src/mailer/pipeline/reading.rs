//! What each reply means.

use std::collections::VecDeque;

use super::{Flying, Pace, Pipeline, Progress, Step, WORN, unexpected};
use crate::mailer::fault::{Fault, FaultCause, Phase, Reply};
use crate::mailer::handover::{Handover, refused};

impl Pipeline {
    /// Takes note of a reply with this code; `reply` makes it readable where that is wanted. An error
    /// ends the connection.
    pub(in crate::mailer) fn read(
        &mut self,
        code: u16,
        reply: impl FnOnce() -> Reply,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let Some(step) = self.expected.pop_front() else {
            return Err(Fault::new(Phase::Mail, unasked(&reply())));
        };
        let phase = step.phase();
        if code == 421 {
            return Err(Fault::new(phase, FaultCause::Reply(reply())));
        }
        let (pace, Some(flying)) = (self.pace, first(&mut self.flying)) else {
            return between(step, code, reply);
        };
        let wanted = if step == Step::Data { 3 } else { 2 };
        match step {
            Step::Reset | Step::Void => return between(step, code, reply),
            // What follows from a refusal is passed over, but for a wish to have the text all the same.
            Step::Data | Step::Dot if flying.outcome.is_some() => {
                if step == Step::Data && code / 100 == 3 {
                    return self.void(&reply(), out);
                }
                if step == Step::Dot && code / 100 == 2 {
                    // Refused and accepted.
                    let fault = Fault::new(phase, unexpected(&reply()));
                    flying.outcome = Some(Handover::Unknown(fault.clone()));
                    return Err(fault);
                }
                flying.progress = Progress::Over;
            }
            Step::Mail | Step::Rcpt if flying.outcome.is_some() => {}
            _ if code / 100 == wanted => match step {
                Step::Data => flying.progress = Progress::Asked,
                Step::Dot => flying.settle(Handover::Accepted(reply())),
                _ => {}
            },
            _ if code < 400 => return Err(Fault::new(phase, unexpected(&reply()))),
            _ => {
                flying.outcome = Some(refused(phase, reply()));
                self.stale |= phase != Phase::Dot || pace == Pace::Chunked;
                self.refused += usize::from(phase != Phase::Dot);
                self.dead_end |= pace == Pace::Chunked && self.refused >= WORN;
                if matches!(step, Step::Data | Step::Dot) || pace == Pace::Lockstep {
                    flying.progress = Progress::Over;
                }
            }
        }
        Ok(())
    }

    /// RFC 2920 3.1: a relay that refused the recipient and yet says 354 gets a dot alone. Had it refused
    /// only the sender, that would hand an empty e-mail over.
    fn void(&mut self, reply: &Reply, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Some(flying) = first(&mut self.flying) else {
            return Ok(());
        };
        let refused_at = match &flying.outcome {
            Some(Handover::RefusedForNow { phase, .. } | Handover::RefusedForGood { phase, .. }) => {
                Some(*phase)
            }
            _ => None,
        };
        flying.progress = Progress::Over;
        if refused_at != Some(Phase::Rcpt) {
            return Err(Fault::new(Phase::Data, unexpected(reply)));
        }
        self.command(Step::Void, ".\r\n", out);
        Ok(())
    }
}

/// The e-mail that replies are for: those before it are over.
fn first(flying: &mut VecDeque<Flying>) -> Option<&mut Flying> {
    flying.iter_mut().find(|f| f.progress != Progress::Over)
}

/// A reply that belongs to no e-mail.
fn between(step: Step, code: u16, reply: impl FnOnce() -> Reply) -> Result<(), Fault> {
    match step {
        Step::Void => Ok(()),
        _ if code / 100 == 2 => Ok(()),
        // RSET cannot be refused; this says nothing about the sender.
        _ => Err(Fault::new(Phase::Mail, unexpected(&reply()))),
    }
}

fn unasked(reply: &Reply) -> FaultCause {
    FaultCause::Protocol(format!("unasked reply {reply}"))
}
