//! What is said of a delivery in the end.

use std::time::Instant;

use super::Processor;
use super::work::Ended;
use crate::consumer::{DeadLetter, Verdict};
use crate::domain::{DispatchId, DispatchStatus};
use crate::message::Reason;
use crate::repository::{Counts, GivenUp};

/// What becomes of a delivery, and of which dispatch it was.
#[derive(Debug)]
pub struct Judgement {
    /// For the broker; `None`: leave it unsettled, it comes again when this worker is gone.
    pub verdict: Option<Verdict>,
    /// The dispatch that the ledger has for it.
    pub dispatch: Option<DispatchId>,
    /// How the dispatch ended, if it was worked off here.
    pub ended: Option<(DispatchStatus, Counts)>,
}

pub(super) fn reached(dispatch: DispatchId, status: DispatchStatus, counts: Counts) -> Judgement {
    Judgement {
        verdict: Some(Verdict::Ack),
        dispatch: Some(dispatch),
        ended: Some((status, counts)),
    }
}

/// The ledger owns what remains.
pub(super) fn acked(dispatch: DispatchId) -> Judgement {
    Judgement {
        verdict: Some(Verdict::Ack),
        dispatch: Some(dispatch),
        ended: None,
    }
}

pub(super) fn leave(dispatch: Option<DispatchId>) -> Judgement {
    Judgement {
        verdict: None,
        dispatch,
        ended: None,
    }
}

impl Processor {
    pub(super) fn given_up(&self, dispatch: DispatchId, why: GivenUp, starts: u32) -> Judgement {
        let (reason, error) = match why {
            GivenUp::Exhausted => (
                Reason::Exhausted,
                "five starts in a row ended the worker without any outcome".to_owned(),
            ),
            GivenUp::Attachment(why) => (Reason::Attachment, why),
        };
        Judgement {
            // Once its ack is proven, a later delivery is none that was lost.
            dispatch: Some(dispatch),
            ..self.refuse_after(starts, reason, error, Some(dispatch))
        }
    }

    pub(super) fn refuse(&self, reason: Reason, error: String, dispatch: Option<DispatchId>) -> Judgement {
        self.refuse_after(0, reason, error, dispatch)
    }

    fn refuse_after(
        &self,
        attempts: u32,
        reason: Reason,
        error: String,
        dispatch: Option<DispatchId>,
    ) -> Judgement {
        tracing::warn!(%reason, error, "message refused");
        let letter = DeadLetter {
            reason,
            error,
            attempts,
            dispatch,
            at: (self.engine.now)(),
        };
        Judgement {
            verdict: Some(Verdict::DeadLetter(letter)),
            dispatch: None,
            ended: None,
        }
    }
}

pub(super) fn log_end(dispatch: DispatchId, ended: &Ended, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    match ended {
        Ended::Reached(status, counts) => {
            let counts: Vec<String> = counts.iter().map(|(s, n)| format!("{n} {s}")).collect();
            tracing::info!(dispatch.id = %dispatch, %status, outcome = counts.join(", "), seconds, "dispatch done");
        }
        Ended::Parked => {
            tracing::warn!(dispatch.id = %dispatch, seconds, "dispatch parked: it goes on when its relay does");
        }
        Ended::Steered(_) => {
            tracing::info!(dispatch.id = %dispatch, seconds, "dispatch paused: it goes on when it is resumed");
        }
        Ended::GivenUp(why, starts) => {
            tracing::error!(dispatch.id = %dispatch, starts, why = why.to_text(), "dispatch given up");
        }
        Ended::Stopped => {
            tracing::info!(dispatch.id = %dispatch, seconds, "dispatch interrupted; its message comes again");
        }
        Ended::LeaseLost => {
            tracing::warn!(dispatch.id = %dispatch, seconds, "dispatch left to another worker");
        }
    }
}
