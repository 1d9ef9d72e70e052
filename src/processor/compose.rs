//! From a row of the ledger to the bytes that are handed over.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::job::Job;
use crate::domain::{Channel, DisplayName, EmailAddress, one_line};
use crate::failpoint;
use crate::mailer::Draft;
use crate::policy::Facts;
use crate::render::{Recipient, slack_post};

/// Longest error that is kept, in characters.
pub(super) const MAX_ERROR: usize = 1_000;

/// What is handed over.
pub(super) enum Composed {
    /// A whole e-mail.
    Email {
        /// Envelope recipient.
        to: EmailAddress,
        /// Its bytes.
        email: Vec<u8>,
    },
    /// The body of a post.
    Post(Vec<u8>),
}

/// The whole e-mail or post, or why this notification can never be one. A panic on the way is this one's alone.
pub(super) fn compose(job: &Job) -> Result<Composed, String> {
    let (what, composed) = match job.row.channel {
        Channel::Email => ("e-mail", catch_unwind(AssertUnwindSafe(|| email(job)))),
        Channel::Slack => ("post", catch_unwind(AssertUnwindSafe(|| post(job)))),
    };
    let composed = composed.unwrap_or_else(|_| Err(format!("composing this {what} failed unexpectedly")));
    // Templates of a tenant's own are repeated in their errors, and the ledger has to take every outcome.
    composed.map_err(|error| one_line(&error, MAX_ERROR))
}

fn post(job: &Job) -> Result<Composed, String> {
    let plan = &job.work.plan;
    let (Facts::Pipeline(facts), Some(address)) = (&plan.facts, &plan.slack) else {
        return Err("Slack is not part of this dispatch's plan".into());
    };
    let payload = slack_post(facts, address, job.work.held_back, job.created_at());
    Ok(Composed::Post(payload.into_bytes()))
}

fn email(job: &Job) -> Result<Composed, String> {
    let work = &job.work;
    let to: EmailAddress = job.row.recipient.parse().map_err(|e| format!("{e}"))?;
    failpoint::reached_for("compose", &job.row.recipient);
    failpoint::panic_for("compose-panics", &job.row.recipient);
    let name = DisplayName::clean(&job.row.name);
    let unsubscribe = work
        .unsubscribe_url
        .as_ref()
        .zip(job.row.participant_id.zip(work.plan.facts.event_id()))
        .map(|(template, (participant, event))| template.fill(participant, event, &to));
    let recipient = Recipient {
        name: &name,
        address: &to,
        unsubscribe_url: unsubscribe.as_deref(),
    };
    let rendered = work.composer.compose(&recipient).map_err(|e| e.to_string())?;
    let boundary = boundary_id(&job.row.message_id);
    let draft = Draft {
        to: &to,
        to_name: &name,
        message_id: &job.row.message_id,
        date: job.created_at(),
        unsubscribe_url: unsubscribe.as_deref(),
        boundary_id: &boundary,
        text: &rendered.text,
        html: &rendered.html,
        calendar: rendered.calendar.as_ref().map(|c| (c.method, c.body.as_str())),
    };
    let email = work.letterhead.assemble(&draft).map_err(|e| e.to_string())?;
    Ok(Composed::Email { to, email })
}

/// The left half of the Message-ID, which is the notification's own, in the characters of a boundary.
fn boundary_id(message_id: &str) -> String {
    let left = message_id.split('@').next().unwrap_or_default();
    left.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}
