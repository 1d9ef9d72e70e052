//! The way to a relay or webhook, and the connections on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outlet::Outlet;
use crate::mailer::{self, Dummy, Fault, Relay};
use crate::slack::Webhook;

/// After so long, or so many e-mails, a connection is renewed.
const LONGEST_OPEN: Duration = Duration::from_hours(1);
const MOST_HANDED: u32 = 10_000;

/// Where the notifications of a lane go.
pub(super) enum Way {
    /// To a relay.
    Relay(Relay),
    /// To a webhook.
    Slack(Arc<Webhook>),
    /// Nowhere, or into a folder.
    Dummy(Dummy),
}

impl Way {
    /// A connection, up to AUTH.
    pub(super) async fn connect(&self) -> Result<Outlet, Fault> {
        match self {
            Self::Dummy(dummy) => Ok(Outlet::Mail(mailer::Outlet::Dummy(dummy.clone(), None))),
            Self::Slack(webhook) => Ok(Outlet::slack(webhook)),
            Self::Relay(relay) => {
                let conversation = Box::new(relay.connect().await?);
                Ok(Outlet::Mail(mailer::Outlet::Smtp(conversation)))
            }
        }
    }
}

/// A connection that is open.
pub(super) struct Open {
    pub(super) outlet: Outlet,
    /// Something was judged on it. One that breaks before says something about the relay.
    pub(super) proven: bool,
    /// It stands, and yet takes nothing: asking again at once would only repeat that.
    pub(super) refused: bool,
    since: Instant,
    pub(super) handed: u32,
}

impl Open {
    pub(super) fn new(outlet: Outlet) -> Self {
        Self {
            outlet,
            proven: false,
            refused: false,
            since: Instant::now(),
            handed: 0,
        }
    }

    /// Takes nothing more. Relays close connections that have served for long: better between two e-mails
    /// than within one.
    pub(super) fn is_over(&self) -> bool {
        self.refused || self.handed >= MOST_HANDED || self.since.elapsed() >= LONGEST_OPEN
    }
}

/// Takes leave.
pub(super) async fn quit(open: &mut Option<Open>) {
    if let Some(open) = open.take() {
        open.outlet.quit().await;
    }
}
