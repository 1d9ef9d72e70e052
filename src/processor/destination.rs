//! Where a lane leads: what tells two lanes apart, and the way there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::way::Way;
use crate::config::{RelayConfig, WebhookUrl};
use crate::mailer::{Dummy, Relay};
use crate::slack::Webhook;

/// A relay, a webhook, or nowhere.
#[derive(Debug, Clone)]
pub(super) enum Destination {
    /// Dummy mode: nothing leaves, but for files into a folder, as fast as the environment's relay would take it.
    Dummy {
        /// Of the files.
        dir: Option<PathBuf>,
        /// At most.
        connections: usize,
        /// A second, 0 = no limit.
        rate_limit: u32,
    },
    /// A relay, with those who log in there.
    Relay(RelayConfig),
    /// A webhook, the limit for one post, and a file to trust besides the system's roots.
    Slack(WebhookUrl, Duration, Option<PathBuf>),
}

impl Destination {
    /// The same for what may share connections, another for everything else. Holds no secret.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Dummy { .. } => "dummy".to_owned(),
            Self::Relay(relay) => {
                let mut hasher = Sha256::new();
                if let Some((user, password)) = &relay.credentials {
                    hasher.update((user.len() as u64).to_be_bytes());
                    hasher.update(user);
                    hasher.update(password.expose_secret());
                }
                let login = hex::encode(hasher.finalize());
                let RelayConfig {
                    host,
                    port,
                    tls,
                    timeout,
                    rate_limit,
                    ..
                } = relay;
                format!("smtp {host} {port} {tls:?} {timeout:?} {rate_limit} {login}")
            }
            Self::Slack(url, timeout, _) => {
                let hash = hex::encode(Sha256::digest(url.expose()));
                format!("slack {timeout:?} {hash}")
            }
        }
    }

    /// For logs.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Dummy { .. } => "dummy".to_owned(),
            Self::Relay(relay) => format!("{}:{}", relay.host, relay.port),
            Self::Slack(url, ..) => url.shown(),
        }
    }

    /// How many connections at most.
    pub(super) fn connections(&self) -> usize {
        match self {
            Self::Dummy { connections, .. } => (*connections).max(1),
            Self::Relay(relay) => relay.connections.max(1),
            // Slack takes one post a second for each webhook.
            Self::Slack(..) => 1,
        }
    }

    /// How many a second, 0 = no limit.
    pub(super) const fn rate_limit(&self) -> u32 {
        match self {
            Self::Dummy { rate_limit, .. } => *rate_limit,
            Self::Relay(relay) => relay.rate_limit,
            Self::Slack(..) => 1,
        }
    }

    /// Prepares the way. Reads certificates, so not for the middle of async work.
    pub(super) fn way(&self) -> Result<Way, String> {
        match self {
            Self::Dummy { dir, .. } => Ok(Way::Dummy(Dummy { dir: dir.clone() })),
            Self::Relay(relay) => Relay::new(relay).map(Way::Relay).map_err(|e| e.to_string()),
            Self::Slack(url, timeout, ca) => {
                let webhook = Webhook::new(url.clone(), *timeout, ca.as_deref());
                webhook
                    .map(|w| Way::Slack(Arc::new(w)))
                    .map_err(|e| e.to_string())
            }
        }
    }
}
