//! Identifiers. Each parses only what the contract allows, so an id that exists is safe in a path, a
//! header, a log line and a query.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not the id it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IdError(&'static str);

/// A dispatch's id, its *bid*: a `UUIDv7`, so ids sort by creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DispatchId(Uuid);

impl DispatchId {
    /// A fresh id.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The 32 hexadecimal digits without hyphens, as used in a Message-ID.
    pub fn simple(&self) -> String {
        self.0.simple().to_string()
    }
}

impl fmt::Display for DispatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for DispatchId {
    type Err = IdError;

    fn from_str(s: &str) -> Result<Self, IdError> {
        Uuid::try_parse(s)
            .map(Self)
            .map_err(|_| IdError("a dispatch id is a UUID"))
    }
}

/// The random token that a claim writes into a dispatch: who knows it holds the lease (rule R1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken(Uuid);

impl LeaseToken {
    /// A fresh random token.
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// A notification's id, given by the database: 1 or greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NotificationId(pub i64);

impl fmt::Display for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of an event on the platform: 1 … 2^63-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(i64);

impl EventId {
    /// Takes ids from 1 on.
    pub fn new(id: i64) -> Result<Self, IdError> {
        if id >= 1 {
            Ok(Self(id))
        } else {
            Err(IdError("an event id is an integer from 1 to 2^63-1"))
        }
    }

    /// The number.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for EventId {
    type Err = IdError;

    fn from_str(s: &str) -> Result<Self, IdError> {
        Self::new(s.parse().unwrap_or(0))
    }
}

/// A tenant's id: `^[a-z0-9][a-z0-9_-]{0,62}$` and not the reserved name `notifications`, so it is
/// also a safe folder name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(String);

impl TenantId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = IdError;

    fn from_str(s: &str) -> Result<Self, IdError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = s.as_bytes();
        let shaped = (1..=63).contains(&bytes.len())
            && plain(bytes[0])
            && bytes.iter().all(|&b| plain(b) || b == b'_' || b == b'-');
        if !shaped {
            return Err(IdError(
                "a tenant id is 1 to 63 of a-z, 0-9, _ and -, beginning with a letter or digit",
            ));
        }
        if s == "notifications" {
            return Err(IdError("`notifications` is reserved and names no tenant"));
        }
        Ok(Self(s.to_owned()))
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An order's id as the shop gives it: 1 to 255 characters, none of them a control character.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrderId(String);

impl OrderId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrderId {
    type Err = IdError;

    fn from_str(s: &str) -> Result<Self, IdError> {
        let fits = (1..=255).contains(&s.chars().count()) && !s.chars().any(char::is_control);
        fits.then(|| Self(s.to_owned()))
            .ok_or(IdError("an order id is a text of 1 to 255 characters"))
    }
}

impl TryFrom<String> for OrderId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<OrderId> for String {
    fn from(id: OrderId) -> Self {
        id.0
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("acme_corp", true)]
    #[case("a", true)]
    #[case("0-_", true)]
    #[case("", false)]
    #[case("_a", false)]
    #[case("Acme", false)]
    #[case("a/b", false)]
    #[case("..", false)]
    #[case("a%2f", false)]
    #[case("a\0", false)]
    #[case("notifications", false)]
    fn tenant_ids(#[case] text: &str, #[case] good: bool) {
        assert_eq!(text.parse::<TenantId>().is_ok(), good);
    }

    #[test]
    fn tenant_id_length() {
        assert!("a".repeat(63).parse::<TenantId>().is_ok());
        assert!("a".repeat(64).parse::<TenantId>().is_err());
    }

    #[test]
    fn event_ids_start_at_one() {
        assert!(EventId::new(0).is_err());
        assert!(EventId::new(-1).is_err());
        assert_eq!(EventId::new(i64::MAX).map(EventId::get), Ok(i64::MAX));
        assert!("9223372036854775808".parse::<EventId>().is_err());
    }

    #[test]
    fn dispatch_ids_round_trip() {
        let id = DispatchId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("nonsense".parse::<DispatchId>().is_err());
    }
}
