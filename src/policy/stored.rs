//! The plan as text in the ledger.

use serde::{Deserialize, Serialize};

use super::{EventFacts, Plan};
use crate::domain::{DisplayName, EventId, Identity};
use crate::message::{Change, EventDetails, EventKind};

/// A plan in the ledger that this version cannot read: ours, and only a newer version's or a hand's doing.
#[derive(Debug, thiserror::Error)]
#[error("the stored plan is unreadable: {0}")]
pub struct PlanError(String);

#[derive(Serialize, Deserialize)]
struct Stored {
    from: String,
    from_name: String,
    kind: String,
    event_id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    #[serde(default)]
    event: EventDetails,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Change>,
}

impl Plan {
    /// As JSON.
    pub fn to_text(&self) -> Result<String, PlanError> {
        let stored = Stored {
            from: self.identity.address.to_string(),
            from_name: self.identity.name.to_string(),
            kind: self.facts.kind.as_str().to_owned(),
            event_id: self.facts.event_id.get(),
            version: self.facts.version,
            event: self.facts.details.clone(),
            changes: self.facts.changes.clone(),
        };
        serde_json::to_string(&stored).map_err(|e| PlanError(e.to_string()))
    }

    /// From JSON.
    pub fn from_text(text: &str) -> Result<Self, PlanError> {
        let stored: Stored = serde_json::from_str(text).map_err(|e| PlanError(e.to_string()))?;
        let unreadable = |what: &str| PlanError(format!("{what} is not valid"));
        Ok(Self {
            identity: Identity {
                address: stored.from.parse().map_err(|_| unreadable("from"))?,
                name: DisplayName::clean(&stored.from_name),
            },
            facts: EventFacts {
                kind: EventKind::from_word(&stored.kind).ok_or_else(|| unreadable("kind"))?,
                event_id: EventId::new(stored.event_id).map_err(|_| unreadable("event_id"))?,
                version: stored.version,
                details: stored.event,
                changes: stored.changes,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let plan = Plan {
            identity: Identity {
                address: "a@example.com".parse().unwrap(),
                name: DisplayName::clean("Zoë"),
            },
            facts: EventFacts {
                kind: EventKind::Updated,
                event_id: EventId::new(7).unwrap(),
                version: Some(4),
                details: EventDetails {
                    title: Some("Rust \0 Meetup".into()),
                    starts_at: "2026-12-01T18:00:00+01:00".parse().ok(),
                    timezone: "Europe/Berlin".parse().ok(),
                    url: "https://example.com/e/7".parse().ok(),
                    ..EventDetails::default()
                },
                changes: vec![Change {
                    field: "location".into(),
                    from: None,
                    to: Some("Hall 2".into()),
                }],
            },
        };
        let text = plan.to_text().unwrap();
        assert!(!text.contains('\0'), "no database takes a NUL in a text");
        assert_eq!(Plan::from_text(&text).unwrap(), plan);
        assert!(Plan::from_text("{}").is_err());
    }
}
