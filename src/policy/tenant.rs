//! What a tenant has configured, as validated values: a [`TenantConfig`] that exists can be used.

use std::time::Duration;

pub use crate::config::OwnRelay;
use crate::config::{RelayConfig, WebhookUrl};
use crate::domain::{DisplayName, EmailAddress, Severity};
use crate::message::MessageKind;

/// For one post, unless the tenant says otherwise.
const POST_LIMIT: Duration = Duration::from_secs(30);

/// A tenant's file, or the root's, or what the environment says in its place.
#[derive(Debug, Clone)]
pub struct TenantConfig {
    /// Whether it applies; one that does not makes room for the root's.
    pub enabled: bool,
    /// Nothing is told, and nothing else applies either.
    pub muted: bool,
    /// Share of the window beside other tenants; 1 unless said.
    pub weight: f64,
    /// Where messages without a trigger go; `None`: wherever this configuration has somebody to tell.
    pub default_provider: Option<Providers>,
    /// Instead of `MAX_RETRIES`.
    pub max_retries: Option<u32>,
    /// Instead of `RETRY_DELAY`.
    pub retry_delay: Option<Duration>,
    /// Instead of `SMTP_TIMEOUT` for a relay of its own, and for its webhook.
    pub timeout: Option<Duration>,
    /// E-mail.
    pub email: Option<EmailSettings>,
    /// Slack.
    pub slack: Option<SlackSettings>,
    /// What is done about which type; each type at most once.
    pub triggers: Vec<Trigger>,
}

impl TenantConfig {
    /// Its own relay, else the environment's whole. How many connections there may be, how long the reply to
    /// an e-mail may take and whom we trust are this process's own matter.
    pub fn relay(&self, environment: &RelayConfig) -> RelayConfig {
        let Some(own) = self.email.as_ref().and_then(|email| email.relay.clone()) else {
            return environment.clone();
        };
        RelayConfig {
            host: own.host,
            port: own.port,
            credentials: own.credentials,
            tls: own.tls,
            timeout: self.timeout.unwrap_or(environment.timeout),
            rate_limit: 0,
            ..environment.clone()
        }
    }

    /// Its webhook, and how long a post may take.
    pub fn webhook(&self) -> Option<(&WebhookUrl, Duration)> {
        let webhook = self.slack.as_ref()?.webhook.as_ref()?;
        Some((webhook, self.timeout.unwrap_or(POST_LIMIT)))
    }

    /// The trigger for a type.
    pub fn trigger(&self, kind: MessageKind) -> Option<&Trigger> {
        self.triggers.iter().find(|trigger| trigger.kind == kind)
    }
}

/// A tenant's e-mail.
#[derive(Debug, Clone)]
pub struct EmailSettings {
    /// Whether e-mails are sent.
    pub enabled: bool,
    /// A relay of its own; without one the environment's applies whole.
    pub relay: Option<OwnRelay>,
    /// Instead of `FROM_EMAIL`.
    pub from: Option<EmailAddress>,
    /// Instead of `FROM_NAME`.
    pub from_name: Option<DisplayName>,
    /// Who is told about pipelines.
    pub to: Vec<EmailAddress>,
    /// Who gets a copy; no address that stands in `to`.
    pub cc: Vec<EmailAddress>,
}

/// A tenant's Slack.
#[derive(Debug, Clone)]
pub struct SlackSettings {
    /// Whether anything is posted.
    pub enabled: bool,
    /// Where; there whenever `enabled`.
    pub webhook: Option<WebhookUrl>,
    /// Such as `#data-alerts`.
    pub channel: Option<String>,
    /// Slack's user ids, such as `U123`.
    pub mention_users: Vec<String>,
    /// Whether everybody in the channel is called when it is critical.
    pub mention_channel: bool,
}

/// What is done about messages of one type.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// Which type.
    pub kind: MessageKind,
    /// Whether they are told.
    pub enabled: bool,
    /// How grave they are where the message does not say.
    pub severity: Option<Severity>,
    /// Where they go; `None`: the default provider.
    pub providers: Option<Providers>,
    /// How long equal messages are held back after one was told.
    pub cooldown: Option<Duration>,
}

/// Ways to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Providers {
    /// E-mail.
    pub email: bool,
    /// Slack.
    pub slack: bool,
}
