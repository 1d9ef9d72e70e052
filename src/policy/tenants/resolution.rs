//! The answers to whose configuration applies.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::domain::TenantId;
use crate::policy::{FileProblem, TenantConfig};

/// Whose configuration applies to a message.
#[derive(Debug, Clone)]
pub enum Resolution {
    /// The tenant's own, muted or not.
    Tenant(TenantId, Arc<TenantConfig>),
    /// The root's.
    Root {
        /// What it says.
        config: Arc<TenantConfig>,
        /// Whether it is `config.json`, rather than the variables in its place.
        from_file: bool,
    },
    /// Nobody's: neither the tenant's nor the root's is enabled; why.
    Disabled(&'static str),
    /// There is neither a tenant's file nor `config.json` nor a variable in its place.
    Nothing,
    /// The file that would decide cannot be used and never could: nothing stands in for it.
    Invalid(Arc<FileProblem>),
    /// The file that would decide cannot be used, and was changed a moment ago: ask again in a second.
    Changing,
}

/// A turn of a file for the worse or the better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Whose file; `None`: the root's.
    pub tenant: Option<TenantId>,
    /// The file.
    pub file: String,
    /// What is wrong with it; `None`: nothing any more.
    pub problem: Option<Arc<FileProblem>>,
}

/// Why there is no configuration for a dispatch that was accepted earlier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoSender(pub(super) String);

/// Whose configuration applies to a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectiveState {
    /// Its own.
    Tenant,
    /// The root's.
    Root,
    /// None.
    Disabled,
}

impl EffectiveState {
    /// The word in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Root => "root",
            Self::Disabled => "disabled",
        }
    }
}

impl Serialize for EffectiveState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What applies to a tenant, for people: secrets are masked.
#[derive(Debug, Clone, Serialize)]
pub struct Effective {
    /// The tenant.
    pub tenant_id: String,
    /// Whose configuration applies.
    pub state: EffectiveState,
    /// The file that decides; `None` where the environment does.
    pub file: Option<String>,
    /// What is wrong with the tenant's file, or with the root's where that decides; also while an earlier
    /// version still applies.
    pub error: Option<String>,
    /// All keys of what decides with their values; null is what is left to the environment.
    pub config: Option<Value>,
}

/// Where the root or a tenant stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// `None`: the root.
    pub tenant: Option<TenantId>,
    /// Whose configuration applies.
    pub state: EffectiveState,
    /// The file that decides; `None` where the environment does.
    pub file: Option<String>,
    /// What is wrong with it; also while an earlier version still applies.
    pub error: Option<String>,
}
