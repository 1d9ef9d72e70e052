//! Where a lane's notifications leave: a conversation with a relay, a webhook, or nowhere.

use std::sync::Arc;
use std::time::Duration;

use super::compose::Composed;
use super::job::Job;
use crate::mailer::{self, Email, Fault, FaultCause, Handover, Parcel, Phase, Refusal, Reply};
use crate::slack::{Posted, Webhook};

/// An open way out.
pub(super) enum Outlet {
    /// E-mails, and in dummy mode posts as well.
    Mail(mailer::Outlet),
    /// Posts.
    Slack(Box<Posting>),
}

/// A webhook and the post that is under way.
pub(super) struct Posting {
    webhook: Arc<Webhook>,
    waiting: Option<Vec<u8>>,
    pause: Option<Duration>,
}

impl Outlet {
    pub(super) fn slack(webhook: &Arc<Webhook>) -> Self {
        Self::Slack(Box::new(Posting {
            webhook: Arc::clone(webhook),
            waiting: None,
            pause: None,
        }))
    }

    /// How many may be added now to those that are under way.
    pub(super) fn room(&self) -> usize {
        match self {
            Self::Mail(outlet) => outlet.room(),
            Self::Slack(posting) => usize::from(posting.waiting.is_none()),
        }
    }

    /// Adds one to those that are under way.
    pub(super) fn add(&mut self, job: &Job, composed: Composed) {
        match (self, composed) {
            (Self::Mail(outlet), Composed::Email { to, email }) => outlet.add(parcel(job, &to, email)),
            // Only dummy mode brings a post here: a relay's lane has none.
            (Self::Mail(outlet), Composed::Post(_)) => {
                outlet.add(parcel(job, &job.work.plan.identity.address, Vec::new().into()));
            }
            (Self::Slack(posting), Composed::Post(body)) => posting.waiting = Some(body),
            (Self::Slack(posting), Composed::Email { email, .. }) => posting.waiting = Some(email.own.into()),
        }
    }

    /// The outcomes of at least one of them, in the order of adding.
    pub(super) async fn advance(&mut self, mut go_ahead: impl FnMut(usize) -> bool) -> Vec<Handover> {
        match self {
            Self::Mail(outlet) => outlet.advance(go_ahead).await,
            Self::Slack(posting) => match posting.waiting.take() {
                None => Vec::new(),
                Some(body) => {
                    let posted = posting.webhook.post(body, || go_ahead(0)).await;
                    if let Posted::RefusedForNow { retry_after, .. } = &posted {
                        posting.pause = *retry_after;
                    }
                    vec![handover(posted)]
                }
            },
        }
    }

    /// How long the other side asked to be left alone, told once.
    pub(super) fn take_pause(&mut self) -> Option<Duration> {
        match self {
            Self::Mail(_) => None,
            Self::Slack(posting) => posting.pause.take(),
        }
    }

    /// Takes back those of the last added ones whose text has not left; how many.
    pub(super) fn pull_back(&mut self) -> usize {
        match self {
            Self::Mail(outlet) => outlet.pull_back(),
            Self::Slack(_) => 0,
        }
    }

    /// Whether another one may be handed over here.
    pub(super) const fn is_usable(&self) -> bool {
        match self {
            Self::Mail(outlet) => outlet.is_usable(),
            Self::Slack(_) => true,
        }
    }

    /// Takes leave.
    pub(super) async fn quit(self) {
        match self {
            Self::Mail(outlet) => outlet.quit().await,
            Self::Slack(_) => {}
        }
    }
}

fn parcel<'a>(job: &'a Job, to: &'a crate::domain::EmailAddress, email: Email) -> Parcel<'a> {
    Parcel {
        dispatch: job.work.dispatch(),
        notification: job.row.id,
        from: &job.work.plan.identity.address,
        to,
        email,
    }
}

/// A webhook's answers by the table that relays' replies have.
fn handover(posted: Posted) -> Handover {
    let phase = Phase::Webhook;
    let reply = |code, text| Reply {
        code,
        enhanced: None,
        text,
    };
    let fault = |cause| Fault { phase, cause };
    match posted {
        Posted::Accepted => Handover::Accepted(reply(200, String::new())),
        Posted::RefusedForNow { status, text, .. } => Handover::RefusedForNow {
            phase,
            reply: reply(status, text),
        },
        Posted::RefusedForGood { status, text } => Handover::RefusedForGood {
            phase,
            refusal: Refusal::Reply(reply(status, text)),
        },
        Posted::Withheld => Handover::Unsent(fault(FaultCause::Withheld)),
        Posted::Unsent(text) => Handover::Unsent(fault(FaultCause::Io(text))),
        Posted::Unknown(text) => Handover::Unknown(fault(FaultCause::Io(text))),
    }
}
