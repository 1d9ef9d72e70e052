//! What a worker shows of itself to people.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// How it stands with a relay, or with one identity there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RelayState {
    /// It takes what is handed over.
    Open,
    /// Nothing is handed over until a probe passes.
    Closed,
    /// It answers, and takes nothing.
    Stalled,
}

/// A relay or webhook, and what waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RelayView {
    /// Host and port, or the public part of a webhook.
    pub relay: String,
    /// `email` or `slack`.
    pub channel: String,
    /// How it stands.
    pub state: RelayState,
    /// Since when; null where it never was otherwise.
    pub since: Option<DateTime<Utc>>,
    /// What it said when it was closed.
    pub reply: Option<String>,
    /// Notifications that wait for it in this process.
    pub waiting: u64,
    /// Who sends through it.
    pub identities: Vec<IdentityView>,
}

/// A sender at a relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IdentityView {
    /// The address in MAIL.
    pub address: String,
    /// How it stands.
    pub state: RelayState,
    /// Since when; null where it never was otherwise.
    pub since: Option<DateTime<Utc>>,
    /// What the relay said of it.
    pub reply: Option<String>,
}

/// What became of notifications in one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minute {
    /// Any time in it.
    pub at: DateTime<Utc>,
    /// How many were sent.
    pub sent: u64,
    /// How many failed.
    pub failed: u64,
}
