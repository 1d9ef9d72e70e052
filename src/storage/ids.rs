//! What a bundle is called, and what made it.

use std::fmt;
use std::str::FromStr;

use crate::domain::DispatchId;

/// Longest id, in bytes.
const MAX: usize = 128;

/// A bundle's id: letters, digits, `-` and `_`, so that it can stand in a path as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BundleId(String);

/// A text that is no bundle's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a bundle's id has 1 to {MAX} letters, digits, - and _")]
pub struct BundleIdError;

impl BundleId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BundleId {
    type Err = BundleIdError;

    fn from_str(s: &str) -> Result<Self, BundleIdError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let fits = (1..=MAX).contains(&s.len()) && s.bytes().all(plain);
        fits.then(|| Self(s.to_owned())).ok_or(BundleIdError)
    }
}

impl From<DispatchId> for BundleId {
    fn from(id: DispatchId) -> Self {
        Self(id.to_string())
    }
}

/// Which bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleRef {
    /// Its id.
    pub bid: BundleId,
    /// What it is about.
    pub primary_url: String,
}

/// What made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Such as `event.updated`.
    pub id: String,
}
