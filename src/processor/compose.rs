//! From a row of the ledger to the bytes that are handed over.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::job::Job;
use crate::config::UrlTemplate;
use crate::domain::{Channel, DisplayName, EmailAddress, one_line};
use crate::failpoint;
use crate::mailer::{Draft, Email, Letterhead};
use crate::policy::{Facts, Plan};
use crate::render::{Composer, Recipient, slack_post};
use crate::repository::WorkRow;

/// Longest error that is kept, in characters.
pub(super) const MAX_ERROR: usize = 1_000;

/// What is handed over.
pub(super) enum Composed {
    /// A whole e-mail.
    Email {
        /// Envelope recipient.
        to: EmailAddress,
        /// Its bytes.
        email: Email,
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
    failpoint::reached_for("compose", &job.row.recipient);
    failpoint::panic_for("compose-panics", &job.row.recipient);
    let letterhead = work.letterhead.as_ref().map_err(String::clone)?;
    let unsubscribe = work.unsubscribe_url.as_ref();
    let (to, email) = email_of(&job.row, &work.plan, &work.composer, letterhead, unsubscribe)?;
    Ok(Composed::Email { to, email })
}

/// The same row gives the same bytes.
pub(super) fn email_of(
    row: &WorkRow,
    plan: &Plan,
    composer: &Composer,
    letterhead: &Letterhead,
    unsubscribe_url: Option<&UrlTemplate>,
) -> Result<(EmailAddress, Email), String> {
    let to: EmailAddress = row.recipient.parse().map_err(|e| format!("{e}"))?;
    let name = DisplayName::clean(&row.name);
    let unsubscribe = unsubscribe_url
        .zip(row.participant_id.zip(plan.facts.event_id()))
        .map(|(template, (participant, event))| template.fill(participant, event, &to));
    let recipient = Recipient {
        name: &name,
        address: &to,
        unsubscribe_url: unsubscribe.as_deref(),
    };
    let rendered = composer.compose(&recipient).map_err(|e| e.to_string())?;
    let boundary = boundary_id(&row.message_id);
    let draft = Draft {
        to: &to,
        to_name: &name,
        message_id: &row.message_id,
        date: row.created_at.and_utc(),
        unsubscribe_url: unsubscribe.as_deref(),
        boundary_id: &boundary,
        text: &rendered.text,
        html: &rendered.html,
        calendar: rendered.calendar.as_ref().map(|c| (c.method, c.body.as_str())),
    };
    let email = letterhead.assemble(&draft).map_err(|e| e.to_string())?;
    Ok((to, email))
}

/// The left half of the Message-ID, which is the notification's own, in the characters of a boundary.
fn boundary_id(message_id: &str) -> String {
    let left = message_id.split('@').next().unwrap_or_default();
    left.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}
