//! The lanes as people see them: whether they pass, since when not, and what the relay said.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::lane::Lane;
use super::lanes::Lanes;
use crate::domain::Channel;
use crate::mailer::Breaker;

/// Whether a lane passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RelayState {
    /// As far as is known.
    Open,
    /// Not until a probe has passed.
    Closed,
    /// There is work, and nothing has become of any for a while.
    Stalled,
}

/// A relay or webhook that this worker uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RelayView {
    /// `host:port`, or a webhook's host.
    pub relay: String,
    /// What goes out over it.
    pub channel: &'static str,
    /// Whether it passes.
    pub state: RelayState,
    /// Since when it is closed, RFC 3339.
    pub since: Option<String>,
    /// What it last said against us since something passed.
    pub reply: Option<String>,
    /// Notifications that wait for it.
    pub waiting: usize,
    /// Who sends over it.
    pub identities: Vec<IdentityView>,
}

/// How a sender stands with a relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IdentityView {
    /// The sender's address.
    pub address: String,
    /// Open or closed.
    pub state: RelayState,
    /// Since when it is refused, RFC 3339.
    pub since: Option<String>,
    /// What the relay says of it.
    pub reply: Option<String>,
}

impl Lanes {
    /// All lanes, by name.
    pub(super) fn view(&self, now: DateTime<Utc>) -> Vec<RelayView> {
        let mut views: Vec<_> = self.all().iter().map(|lane| view(lane, now)).collect();
        views.sort_by(|a, b| a.relay.cmp(&b.relay));
        views
    }
}

fn view(lane: &Lane, now: DateTime<Utc>) -> RelayView {
    let (closed, since, reply) = breaker(&lane.breaker, now);
    let identities = lane.standings().into_iter().map(|standing| {
        let (state, since, reply) = breaker(&standing.breaker, now);
        IdentityView {
            address: standing.address.to_string(),
            state,
            since,
            reply,
        }
    });
    let is_webhook = lane.shown.contains("://");
    RelayView {
        relay: lane.shown.clone(),
        channel: if is_webhook {
            Channel::Slack
        } else {
            Channel::Email
        }
        .as_str(),
        state: if closed == RelayState::Open && lane.is_stalled() {
            RelayState::Stalled
        } else {
            closed
        },
        since,
        reply,
        waiting: lane.len(),
        identities: identities.collect(),
    }
}

fn breaker(breaker: &Breaker, now: DateTime<Utc>) -> (RelayState, Option<String>, Option<String>) {
    let closed = breaker.closed_for();
    let since = closed
        .and_then(|long| chrono::Duration::from_std(long).ok())
        .map(|long| {
            let since = now - long;
            since.to_rfc3339_opts(SecondsFormat::Secs, true)
        });
    let state = if closed.is_some() {
        RelayState::Closed
    } else {
        RelayState::Open
    };
    (state, since, breaker.complaint())
}
