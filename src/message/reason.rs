//! Why a message can never be processed.

use std::fmt;

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
    /// Five starts in a row ended without an outcome.
    Exhausted,
}

impl Reason {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid-json",
            Self::UnknownType => "unknown-type",
            Self::InvalidField => "invalid-field",
            Self::TooLarge => "too-large",
            Self::MessageIdConflict => "message-id-conflict",
            Self::Exhausted => "exhausted",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
