//! From what became of a handover to its outcome on the way into the ledger, and what it says of the lane.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::denials::denial;
use super::job::{Done, How, Job, Ticket};
use super::line::{Line, Load};
use super::outcome::{Next, judge, log};
use super::sender::Senders;
use super::standing::blames_identity;
use super::telling::{became, tell_reply};
use super::way::Open;
use super::window::Permit;
use crate::failpoint;
use crate::mailer::{Email, Fault, FaultCause, Handover, Phase};
use crate::repository::{Entry, Outcome};

impl Senders {
    /// Cut off: what may have been handed over is `unknown`, the rest is as it was.
    pub(super) fn let_go(&self, line: &mut Line) {
        for load in line.flying.drain(..) {
            if !load.let_go.load(Ordering::Relaxed) {
                drop_job(&load.job);
                continue;
            }
            let cause = FaultCause::Io("Herald was stopped before the reply came".into());
            let unknown = Handover::Unknown(Fault {
                phase: Phase::Dot,
                cause,
            });
            let now = (self.now)().naive_utc();
            let judged = judge(
                unknown,
                load.job.row.attempts,
                (0, false),
                &load.job.work.config,
                now,
            );
            if let Next::Record(outcome) = judged {
                self.record(load.job, outcome, load.permit, load.email);
            }
        }
    }

    /// From what became of a job to its outcome on the way into the ledger. `blamed`: the lane has been
    /// told of this failure.
    pub(super) fn attend(&self, open: &mut Open, load: Load, handover: Handover, blamed: &mut bool) {
        let Load {
            mut job,
            mut permit,
            denials,
            email,
            ..
        } = load;
        match &handover {
            Handover::Unsent(_) | Handover::Unknown(_) => permit.fails(),
            _ => permit.passes(),
        }
        let email = email.filter(|_| matches!(handover, Handover::Accepted(_) | Handover::Unknown(_)));
        failpoint::reached("s4-after-reply");
        tell_reply(&self.lane.live, &job, &handover);
        self.lane.note_move();
        let standing = Arc::clone(&job.route().standing);
        if matches!(handover, Handover::Accepted(_)) {
            standing.denials.accepted(denials);
        }
        self.pacing.note(&handover, Instant::now());
        let lane_passes = self.observe(open, &mut job, &handover, blamed);
        let faults = (job.lane_faults, lane_passes);
        let now = (self.now)().naive_utc();
        let denied = denial(&handover).map(|reply| (job.again(), reply.clone()));
        match judge(handover, job.row.attempts, faults, &job.work.config, now) {
            Next::Record(outcome) => self.record(job, outcome, permit, email),
            Next::Requeue if self.stop.is_cancelled() => drop_job(&job),
            Next::Requeue => self.lane.requeue(job),
        }
        // Only now: the failure has to be in the ledger before it can be taken back.
        if let Some((job, reply)) = denied {
            let jobs = standing.denials.denied(job);
            if !jobs.is_empty() {
                standing.breaker.denied(&reply);
                self.lane.observe(&standing);
                for job in jobs {
                    self.take_back(job);
                }
            }
        }
    }

    /// What a handover says about the lane; returns whether others have passed since it first failed at
    /// this job.
    fn observe(&self, open: &mut Open, job: &mut Job, handover: &Handover, blamed: &mut bool) -> bool {
        let passed = self.passed.load(Ordering::Relaxed);
        open.handed += 1;
        let fault = match handover {
            Handover::Unsent(fault) => fault,
            Handover::Unknown(fault) => {
                if !std::mem::replace(blamed, true) {
                    self.lane.breaker.failed(fault);
                }
                return false;
            }
            _ => {
                open.proven = true;
                if denial(handover).is_none() {
                    self.passed.fetch_add(1, Ordering::Relaxed);
                    self.lane.breaker.passed();
                    job.route().standing.breaker.passed();
                }
                return false;
            }
        };
        tracing::debug!(notification.id = %job.row.id, %fault, "not handed over");
        if blames_identity(fault) {
            // The relay and the connection are fine: only this sender is refused, whatever the e-mail.
            let standing = &job.route().standing;
            standing.breaker.failed(fault);
            self.lane.observe(standing);
            return false;
        }
        if job.lane_faults == 0 {
            job.passed_then = passed;
        }
        job.lane_faults += 1;
        open.refused |= open.outlet.is_usable();
        // A connection that broke while it lay idle says nothing about the relay.
        if (!open.proven || open.refused || fault.reply().is_some()) && !std::mem::replace(blamed, true) {
            self.lane.breaker.failed(fault);
        }
        passed > job.passed_then
    }

    /// Sends an outcome on its way into the ledger, an e-mail that may have been handed over into the bundle
    /// before it.
    pub(super) fn record(&self, job: Job, outcome: Outcome, permit: Permit, email: Option<Email>) {
        log(&job, &outcome);
        let became = became(&outcome, &job.row.recipient);
        let again = match &outcome {
            Outcome::Again { at, .. } => Some(*at),
            _ => None,
        };
        let entry = Entry {
            notification: job.row.id,
            dispatch: job.work.dispatch(),
            token: job.work.lease.token,
            outcome,
            first: !job.work.fruitful.swap(true, Ordering::Relaxed),
        };
        if let Some((page, email)) = job.page.as_ref().zip(email) {
            page.put(job.work.plan.identity.address.as_str(), job.created_at(), &email);
        }
        let ticket = Ticket {
            id: job.row.id,
            channel: job.row.channel,
            became,
            work: job.work,
            again,
            marking: None,
            reopened: false,
            permit: Some(permit),
        };
        self.writer.record(entry, ticket);
    }
}

pub(super) fn drop_job(job: &Job) {
    let done = Done {
        id: job.row.id,
        how: How::Dropped,
    };
    // A dispatch that no longer listens has no use for it.
    let _ = job.work.done.send(vec![done]);
}
