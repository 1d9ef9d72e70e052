//! The e-mails that are under way on one connection, as a state without input or output: which commands
//! may leave now, and what each reply means.
//!
//! Guarantees: a reply always belongs to the command that has waited longest; an e-mail's text leaves only
//! after its envelope stands (or as BDAT, with its length) and its sender said go ahead; when the
//! connection breaks, each e-mail is known to be settled, unsent, or unknown.

mod reading;
mod writing;

use std::collections::VecDeque;

use super::fault::{Fault, FaultCause, Phase, Reply};
use super::handover::Handover;
use super::parcel::Email;

/// E-mails on one connection at most, where each needs no answer before the next: beyond that a broken
/// connection would leave too many unknown, and what the relay has to say might fill its buffers.
const CHUNKED: usize = 8;

/// Refused recipients on one connection, those under way taken for such, while whole e-mails travel behind
/// each other. After ten of them, and the RSET behind each, Exim hangs up (`smtp_accept_max_nonmail`), and
/// so does Postfix when nothing was accepted between them (`smtpd_hard_error_limit`); what is under way
/// would then be unknown.
const REFUSALS: usize = 10;

/// With so many the connection is renewed, rather than to go on with one e-mail at a time.
const WORN: usize = 8;

/// Beyond so many bytes to be written no other e-mail joins them: large ones are copied one at a time.
const FULL: usize = 1 << 20;

/// How many commands may wait for their replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// One: the relay offers nothing.
    Lockstep,
    /// An envelope, and the next one behind a final dot (RFC 2920 3.1).
    Pipelined,
    /// Whole e-mails, one after the other (RFC 3030 with RFC 2920).
    Chunked,
}

/// A command whose reply is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// RSET, before a transaction.
    Reset,
    Mail,
    Rcpt,
    Data,
    /// The final dot, or BDAT … LAST.
    Dot,
    /// A dot alone, for a relay that wants text although it refused the recipient.
    Void,
}

/// What has left of an e-mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Progress {
    Nothing,
    Mail,
    Rcpt,
    Data,
    /// 354 came.
    Asked,
    Text,
    /// Nothing more is awaited for it.
    Over,
}

/// An e-mail with its envelope's commands.
#[derive(Debug)]
pub(super) struct Letter {
    /// Line ends included.
    pub(super) mail: String,
    /// Line end included.
    pub(super) rcpt: String,
    /// As it is, dots not doubled.
    pub(super) email: Email,
}

#[derive(Debug)]
struct Flying {
    letter: Letter,
    progress: Progress,
    /// The first refusal decides; what only follows from it is passed over.
    outcome: Option<Handover>,
    /// It may be whole at the relay once more than so many bytes of the connection were taken.
    whole_after: Option<u64>,
}

/// All that is under way on one connection.
#[derive(Debug)]
pub(super) struct Pipeline {
    pace: Pace,
    flying: VecDeque<Flying>,
    expected: VecDeque<Step>,
    /// A transaction stands half-done: RSET goes before the next MAIL.
    stale: bool,
    /// An envelope stands for which no text will come, or too many were refused: no other may follow here.
    dead_end: bool,
    /// Refused envelopes on this connection.
    refused: usize,
}

impl Pipeline {
    pub(super) const fn new(pace: Pace) -> Self {
        Self {
            pace,
            flying: VecDeque::new(),
            expected: VecDeque::new(),
            stale: false,
            dead_end: false,
            refused: 0,
        }
    }

    /// E-mails that may be added now. `brisk`: the relay does not keep the one behind waiting.
    pub(super) fn room(&self, brisk: bool) -> usize {
        let most = match self.pace {
            _ if self.dead_end => 0,
            Pace::Chunked if brisk => CHUNKED.min(REFUSALS.saturating_sub(self.refused)),
            Pace::Pipelined if brisk => 2,
            _ => 1,
        };
        most.saturating_sub(self.flying.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flying.is_empty()
    }

    /// Whether another e-mail may still be handed over once all are settled.
    pub(super) const fn is_dead_end(&self) -> bool {
        self.dead_end
    }

    /// What the reply that comes next is for.
    pub(super) fn awaits(&self) -> Option<Phase> {
        self.expected.front().map(|step| step.phase())
    }

    /// Whether a whole text has left, of `taken` bytes, whose reply is still to come.
    pub(super) fn has_text_out(&self, taken: u64) -> bool {
        let mut under_way = self.flying.iter().filter(|f| f.progress == Progress::Text);
        under_way.any(|flying| flying.whole_after.is_some_and(|last| taken > last))
    }

    /// Which command comes next where none awaits its reply.
    pub(super) fn stands_at(&self) -> Phase {
        let mut under_way = self.flying.iter().map(|flying| flying.progress);
        match under_way.find(|progress| *progress != Progress::Over) {
            Some(Progress::Mail) => Phase::Rcpt,
            Some(Progress::Rcpt | Progress::Data | Progress::Asked | Progress::Text) => Phase::Data,
            Some(Progress::Nothing | Progress::Over) | None => Phase::Mail,
        }
    }

    pub(super) fn add(&mut self, letter: Letter) {
        self.flying.push_back(Flying {
            letter,
            progress: Progress::Nothing,
            outcome: None,
            whole_after: None,
        });
    }

    /// One that is settled before anything left.
    pub(super) fn add_settled(&mut self, outcome: Handover) {
        self.flying.push_back(Flying {
            letter: Letter {
                mail: String::new(),
                rcpt: String::new(),
                email: Vec::new().into(),
            },
            progress: Progress::Over,
            outcome: Some(outcome),
            whole_after: None,
        });
    }

    /// Takes back the e-mails at the end of which no text has left; how many those are.
    pub(super) fn pull_back(&mut self) -> usize {
        let mut count = 0;
        while self.flying.len() > 1 && self.flying.back().is_some_and(Flying::is_ours) {
            self.dead_end |= self
                .flying
                .pop_back()
                .is_some_and(|f| f.progress > Progress::Nothing);
            count += 1;
        }
        count
    }

    /// The outcomes that are certain, in the order of adding.
    pub(super) fn settled(&mut self) -> Vec<Handover> {
        let mut settled = Vec::new();
        while let Some(flying) = self.flying.pop_front_if(|f| f.progress == Progress::Over) {
            // Over is only what has an outcome.
            settled.extend(flying.outcome);
        }
        settled
    }

    /// The connection broke, or has to, for `fault`, after `taken` of its bytes had left: what is thereby
    /// certain of each e-mail, in the order of adding.
    pub(super) fn break_off(&mut self, fault: &Fault, taken: u64) -> Vec<Handover> {
        // Replies come in order: behind a farewell nothing was taken any more.
        let farewell = fault.reply().is_some_and(|reply| reply.code == 421);
        let mut blamed = Some(fault.phase);
        self.expected.clear();
        let broken = std::mem::take(&mut self.flying);
        broken
            .into_iter()
            .map(|flying| {
                if let Some(outcome) = flying.outcome {
                    return outcome;
                }
                let cause = fault.cause.clone();
                let phase = blamed.take();
                if !farewell && flying.whole_after.is_some_and(|last| taken > last) {
                    return Handover::Unknown(Fault::new(Phase::Dot, cause));
                }
                // Only the one in front was at the command that failed; its text did not leave whole.
                let phase = match phase {
                    Some(Phase::Dot) if !farewell => Phase::Data,
                    Some(phase) => phase,
                    None => Phase::Mail,
                };
                Handover::Unsent(Fault::new(phase, cause))
            })
            .collect()
    }
}

impl Flying {
    fn settle(&mut self, outcome: Handover) {
        self.outcome = Some(outcome);
        self.progress = Progress::Over;
    }

    /// No text has left, and nothing is known of it.
    fn is_ours(&self) -> bool {
        self.progress < Progress::Text && self.outcome.is_none()
    }
}

impl Step {
    const fn phase(self) -> Phase {
        match self {
            Self::Reset | Self::Mail => Phase::Mail,
            Self::Rcpt => Phase::Rcpt,
            Self::Data | Self::Void => Phase::Data,
            Self::Dot => Phase::Dot,
        }
    }
}

pub(super) fn unexpected(reply: &Reply) -> FaultCause {
    FaultCause::Protocol(format!("unexpected reply {reply}"))
}

#[cfg(test)]
mod tests;
