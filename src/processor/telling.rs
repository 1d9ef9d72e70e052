//! What the work on a dispatch tells those who watch. It follows what was committed and changes nothing of it.

use std::sync::Arc;
use std::time::Duration;

use super::Processor;
use super::engine::Engine;
use super::job::{Job, Ticket, committed};
use super::work::Ended;
use crate::domain::{Channel, DispatchStatus, EventId, NotificationId, NotificationStatus, TenantId};
use crate::live::{Became, Live, Running, Settled, Started, Tally};
use crate::mailer::{Fault, Handover};
use crate::message::Reason;
use crate::metrics::Suppression;
use crate::policy::{Plan, Turn};
use crate::repository::{self, Claim, Counts, Outcome, SettledRow, Taken};

/// Between two looks at how many dispatches are open.
const LOOK: Duration = Duration::from_secs(5);

impl Engine {
    /// Work on a claimed dispatch begins.
    pub(super) async fn tell_start(&self, plan: &Plan, claim: &Claim) -> Arc<Running> {
        let running = self.live.begin(Started {
            dispatch: claim.dispatch,
            kind: plan.facts.kind().as_str(),
            tenant: plan.tenant.as_ref().map(|id| TenantId::as_str(id).to_owned()),
            event: plan.facts.event_id().map(EventId::get),
            order: plan.facts.order_id().map(|id| id.as_str().to_owned()),
            accepted: claim.created_at.and_utc(),
        });
        let (dispatch, first) = (claim.dispatch, claim.starts <= 1);
        if first && plan.facts.event_id().is_some() {
            return running; // its audience is not read yet
        }
        let found = self.db.read(move |conn| {
            let counts = repository::counts(conn, dispatch)?;
            let settled = if first {
                repository::settled_rows(conn, dispatch, NotificationId(0))?
            } else {
                Vec::new()
            };
            Ok((counts, settled))
        });
        match found.await {
            Ok((counts, settled)) => {
                running.found(tally(&counts));
                running.settled(&settled_of(settled));
            }
            Err(error) => tracing::debug!(dispatch.id = %dispatch, %error, "its counts cannot be told"),
        }
        running
    }

    /// Nothing comes of it.
    pub(super) async fn tell_given_up(&self, plan: &Plan, claim: &Claim, ended: &Ended) {
        if matches!(ended, Ended::GivenUp(..)) {
            let running = self.tell_start(plan, claim).await;
            running.left(DispatchStatus::Failed);
        }
    }
}

impl Processor {
    /// What is told of the work here.
    pub fn live(&self) -> &Live {
        &self.engine.live
    }

    /// Tells how many dispatches are open, until told to stop.
    pub async fn tell_open(self: Arc<Self>) {
        loop {
            match self.engine.db.read(repository::open_dispatches).await {
                Ok(open) => {
                    let metrics = self.engine.live.metrics();
                    for (status, count) in open {
                        metrics.dispatches_open(status, count);
                    }
                }
                Err(error) => tracing::debug!(%error, "open dispatches cannot be counted"),
            }
            if self
                .stop
                .run_until_cancelled(tokio::time::sleep(LOOK))
                .await
                .is_none()
            {
                return;
            }
        }
    }
}

/// What is done after each commit: tells its dispatches, and how long it took.
pub(super) fn told(live: &Live) -> impl Fn(Vec<(Ticket, Taken)>, Duration) + Send + 'static {
    let metrics = live.metrics().clone();
    for reason in Reason::ALL {
        metrics.dead_letters(reason.as_str(), 0); // a rise from nothing is seen only where there was a 0
    }
    move |tickets, took| {
        metrics.ledger_commit(took.as_secs_f64());
        committed(tickets);
    }
}

/// Work on it has ended.
pub(super) fn tell_end(running: &Running, ended: &Ended) {
    match ended {
        Ended::Reached(status, counts) => running.ended(*status, tally(counts)),
        Ended::Parked => running.left(DispatchStatus::Waiting),
        Ended::Steered(_) => running.left(DispatchStatus::Paused),
        // It goes on at once, here or elsewhere.
        Ended::GivenUp(..) | Ended::Stopped | Ended::LeaseLost => {}
    }
}

fn tally(counts: &Counts) -> Tally {
    counts.iter().collect()
}

/// What an outcome makes of a notification once it is committed.
pub(super) fn became(outcome: &Outcome, recipient: &str) -> Became {
    match outcome {
        Outcome::Sent => Became::Sent,
        Outcome::Failed { error, .. } => Became::Failed(recipient.to_owned(), error.clone()),
        Outcome::Deferred { .. } => Became::Deferred,
        Outcome::Unknown { .. } => Became::Unknown,
        Outcome::TakenBack => Became::Reopened,
        Outcome::Again { .. } | Outcome::Sending => Became::Same,
    }
}

/// A configuration file turned for the worse or the better.
pub(super) fn tell_turn(live: &Live, turn: Turn) {
    let problem = turn.problem.map(|problem| problem.to_string());
    let tenant = turn.tenant.as_ref().map(TenantId::as_str);
    live.config(tenant, turn.file, problem.as_deref());
}

/// What a relay said to an e-mail.
pub(super) fn tell_reply(live: &Live, job: &Job, handover: &Handover) {
    if job.row.channel != Channel::Email {
        return;
    }
    let reply = match handover {
        Handover::Accepted(reply) | Handover::RefusedForNow { reply, .. } => Some(reply),
        Handover::RefusedForGood { refusal, .. } => refusal.reply(),
        Handover::Unsent(fault) | Handover::Unknown(fault) => fault.reply(),
    };
    if let Some(reply) = reply {
        live.metrics().smtp_reply(reply.code);
    }
}

/// What a relay said to a connection.
pub(super) fn tell_fault(live: &Live, fault: &Fault) {
    if let Some(reply) = fault.reply() {
        live.metrics().smtp_reply(reply.code);
    }
}

/// Rows as they are told.
pub(super) fn settled_of(rows: Vec<SettledRow>) -> Vec<Settled> {
    let rows = rows.into_iter();
    rows.map(|row| Settled {
        suppressed: (row.status == NotificationStatus::Suppressed).then(|| word(&row.error)),
        id: row.id,
        channel: row.channel,
        recipient: row.recipient,
        error: row.error,
    })
    .collect()
}

/// The reason of a suppression, which is a text for people, in one word.
fn word(reason: &str) -> Suppression {
    const BEGINNINGS: [(&str, Suppression); 10] = [
        ("unsubscribed", Suppression::Unsubscribed),
        ("the tenant is muted", Suppression::Muted),
        ("the trigger for ", Suppression::Trigger),
        ("cooldown: ", Suppression::Cooldown),
        ("notifications are ", Suppression::Disabled),
        ("pipeline notifications are switched off", Suppression::Disabled),
        ("nobody is configured", Suppression::Disabled),
        ("e-mail is ", Suppression::Provider),
        ("Slack is ", Suppression::Provider),
        ("no e-mail recipient", Suppression::Provider),
    ];
    let known = BEGINNINGS
        .iter()
        .find(|(beginning, _)| reason.starts_with(beginning));
    known.map_or(Suppression::Other, |(_, word)| *word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("unsubscribed", Suppression::Unsubscribed)]
    #[case("the tenant is muted", Suppression::Muted)]
    #[case("the trigger for pipeline_failure is disabled", Suppression::Trigger)]
    #[case("e-mail is disabled", Suppression::Provider)]
    #[case("Slack is not configured", Suppression::Provider)]
    #[case("no e-mail recipient is configured", Suppression::Provider)]
    #[case("notifications are disabled for the root", Suppression::Disabled)]
    #[case(
        "cooldown: an equal message was told less than 60 s before",
        Suppression::Cooldown
    )]
    #[case("something new", Suppression::Other)]
    fn reasons_in_one_word(#[case] reason: &str, #[case] expected: Suppression) {
        assert_eq!(word(reason), expected);
    }
}
