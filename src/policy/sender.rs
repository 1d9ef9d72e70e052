//! Whose relay and webhook a dispatch uses.

use std::fmt;
use std::str::FromStr;

use crate::domain::TenantId;

/// Where the relay and the webhook of a dispatch are configured. The ledger keeps this name and never what
/// it stands for: a password that was changed is the one that is used, and none is ever stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sender {
    /// `SMTP_*`.
    Environment,
    /// The root's `config.json`, or the variables in its place.
    Root,
    /// This tenant's `notifications.json`.
    Tenant(TenantId),
}

/// A text that names no sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected environment, root or tenant:ID")]
pub struct UnknownSender;

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("environment"),
            Self::Root => f.write_str("root"),
            Self::Tenant(id) => write!(f, "tenant:{id}"),
        }
    }
}

impl FromStr for Sender {
    type Err = UnknownSender;

    fn from_str(s: &str) -> Result<Self, UnknownSender> {
        match s {
            "environment" => Ok(Self::Environment),
            "root" => Ok(Self::Root),
            other => {
                let id = other.strip_prefix("tenant:").ok_or(UnknownSender)?;
                id.parse().map(Self::Tenant).map_err(|_| UnknownSender)
            }
        }
    }
}
