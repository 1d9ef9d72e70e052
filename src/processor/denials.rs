//! Refusals that are not about the recipient. A relay that denies everybody answers as if each address
//! were wrong (`554 5.7.1 Relay access denied`): twenty such in a row, with no acceptance between, are taken
//! for what they are, and those who were failed for it are open again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::job::Job;
use super::lease::lock;
use crate::mailer::{Handover, Refusal, Reply};

/// So many in a row close the lane.
const IN_A_ROW: usize = 20;

/// The denials since the last acceptance.
#[derive(Default)]
pub(super) struct Denials {
    any: AtomicBool,
    row: Mutex<Row>,
}

#[derive(Default)]
struct Row {
    length: usize,
    /// Recorded as failed so far.
    jobs: Vec<Job>,
}

/// The reply of a refusal that is about the sender rather than the recipient.
pub(super) fn denial(handover: &Handover) -> Option<&Reply> {
    match handover {
        Handover::RefusedForGood {
            refusal: Refusal::Reply(reply),
            ..
        } => Some(reply).filter(|reply| reply.is_policy()),
        _ => None,
    }
}

impl Denials {
    /// Something was accepted: what was refused before was meant.
    pub(super) fn accepted(&self) {
        if self.any.swap(false, Ordering::Relaxed) {
            *lock(&self.row) = Row::default();
        }
    }

    /// One more denial, its failure already on the way into the ledger; once there are enough in a row,
    /// returns all that were failed for it. Each further one comes back at once, until something is
    /// accepted.
    pub(super) fn denied(&self, job: Job) -> Vec<Job> {
        self.any.store(true, Ordering::Relaxed);
        let mut row = lock(&self.row);
        row.length += 1;
        row.jobs.push(job);
        if row.length < IN_A_ROW {
            return Vec::new();
        }
        std::mem::take(&mut row.jobs)
    }
}
