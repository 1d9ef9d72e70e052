//! Why a message can never be processed.

use std::fmt;
use std::str::FromStr;

/// The word that stands in `x-herald-reason` of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Not one JSON object in UTF-8, duplicate keys, or too deep.
    InvalidJson,
    /// A `type` that this version does not know.
    UnknownType,
    /// A field is missing or wrong, `type` included.
    InvalidField,
    /// More than 1 MiB.
    TooLarge,
    /// The id of an earlier message with another body.
    MessageIdConflict,
    /// The tenant's configuration cannot be used.
    TenantConfig,
    /// A file that is to be sent along cannot be had.
    Attachment,
    /// Five starts in a row ended without an outcome.
    Exhausted,
}

/// A word that is no reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {}", Reason::ALL.map(Reason::as_str).join(", "))]
pub struct UnknownReason;

impl Reason {
    /// All of them, in the order of the contract.
    pub const ALL: [Self; 8] = [
        Self::InvalidJson,
        Self::UnknownType,
        Self::InvalidField,
        Self::TooLarge,
        Self::MessageIdConflict,
        Self::TenantConfig,
        Self::Attachment,
        Self::Exhausted,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid-json",
            Self::UnknownType => "unknown-type",
            Self::InvalidField => "invalid-field",
            Self::TooLarge => "too-large",
            Self::MessageIdConflict => "message-id-conflict",
            Self::TenantConfig => "tenant-config",
            Self::Attachment => "attachment",
            Self::Exhausted => "exhausted",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(s: &str) -> Result<Self, UnknownReason> {
        Self::ALL
            .into_iter()
            .find(|r| r.as_str() == s)
            .ok_or(UnknownReason)
    }
}
