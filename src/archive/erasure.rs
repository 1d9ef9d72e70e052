//! What was erased from a bundle: enough to know that nothing is missing, and nobody's address.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// All that was erased from one bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasures {
    /// In the order of their times.
    pub erasures: Vec<Erasure>,
}

/// One person's erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// When.
    pub at: DateTime<Utc>,
    /// The Message-IDs that are gone; a hash of the address is in each.
    pub message_ids: Vec<String>,
    /// Whether the request named the person, and is gone too.
    pub request: bool,
}

impl Erasures {
    /// All Message-IDs that are gone.
    pub fn message_ids(&self) -> HashSet<&str> {
        let all = self.erasures.iter().flat_map(|one| &one.message_ids);
        all.map(String::as_str).collect()
    }

    /// Whether the request is gone.
    pub fn request(&self) -> bool {
        self.erasures.iter().any(|one| one.request)
    }
}
