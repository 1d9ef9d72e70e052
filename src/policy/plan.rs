//! The plan, and what it is made from.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::sender::Sender;
use super::tenant::TenantConfig;
use crate::domain::{Audience, Cooldown, EmailAddress, Identity, TenantId};
use crate::message::Attachment;

/// Whose message it is, as far as the configuration says.
#[derive(Debug, Clone)]
pub enum Tenancy {
    /// Nobody's in particular: `FROM_*` and `SMTP_*`.
    Environment,
    /// The tenant has a file of its own.
    Tenant(TenantId, Arc<TenantConfig>),
    /// The root stands in.
    Root(Arc<TenantConfig>),
    /// Disabled everywhere; why.
    Disabled(&'static str),
}

/// What the environment says besides.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// `FROM_EMAIL`, `FROM_NAME`.
    pub identity: Identity,
    /// `NOTIFICATIONS_ENABLED`: false suppresses pipeline messages.
    pub pipelines_enabled: bool,
}

/// How one message is to be told to its audience. It is stored with the dispatch, which so keeps the identity
/// and the words that it was accepted with.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// On whose behalf.
    pub tenant: Option<TenantId>,
    /// Whose relay and webhook.
    pub sender: Sender,
    /// Who it is from.
    pub identity: Identity,
    /// What it tells.
    pub facts: Facts,
    /// Instead of `MAX_RETRIES`.
    pub max_retries: Option<u32>,
    /// Instead of `RETRY_DELAY`.
    pub retry_delay: Option<Duration>,
    /// What all e-mails have in To and Cc; empty: each its own recipient.
    pub lists: Lists,
    /// How it is posted.
    pub slack: Option<SlackAddress>,
    /// What goes out with each e-mail.
    pub attachments: Vec<Attachment>,
}

/// The headers To and Cc of e-mails that go to several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    /// To.
    pub to: Vec<EmailAddress>,
    /// Cc.
    pub cc: Vec<EmailAddress>,
}

/// What a post says besides its facts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlackAddress {
    /// Such as `#data-alerts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Slack's user ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mention_users: Vec<String>,
    /// Whether everybody is called when it is critical.
    #[serde(default)]
    pub mention_channel: bool,
}

/// A plan, with what accepting it has to write.
#[derive(Debug, Clone)]
pub struct Planned {
    /// For the whole life of the dispatch.
    pub plan: Plan,
    /// Who is told.
    pub audience: Audience,
    /// What is claimed with it; where that is taken, only `Cooldown::held` is written.
    pub cooldown: Option<Cooldown>,
}
