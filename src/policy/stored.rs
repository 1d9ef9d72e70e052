//! The plan as text in the ledger. What an earlier version wrote is read as well.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::facts::{EventFacts, Facts, OrderFacts, PipelineFacts};
use super::plan::{Lists, Plan, SlackAddress};
use super::sender::Sender;
use crate::domain::{DisplayName, EmailAddress, EventId, Identity, Severity};
use crate::message::{Attachment, Change, EventDetails, EventKind, Order, Report};

/// A plan in the ledger that this version cannot read: ours, and only a newer version's or a hand's doing.
#[derive(Debug, thiserror::Error)]
#[error("the stored plan is unreadable: {0}")]
pub struct PlanError(String);

#[derive(Serialize, Deserialize)]
struct Stored {
    from: String,
    from_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sender: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_retries: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_delay_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    to: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cc: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slack: Option<SlackAddress>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Attachment>,
    #[serde(flatten)]
    facts: StoredFacts,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredFacts {
    Order {
        order: Order,
    },
    Pipeline {
        pipeline: StoredPipeline,
    },
    Event {
        kind: String,
        event_id: i64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<i64>,
        #[serde(default)]
        event: EventDetails,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<Change>,
    },
}

#[derive(Serialize, Deserialize)]
struct StoredPipeline {
    severity: Severity,
    title: String,
    message: String,
    report: Report,
}

impl Plan {
    /// As JSON.
    pub fn to_text(&self) -> Result<String, PlanError> {
        let addresses = |list: &[EmailAddress]| list.iter().map(ToString::to_string).collect();
        let stored = Stored {
            from: self.identity.address.to_string(),
            from_name: self.identity.name.to_string(),
            tenant: self.tenant.as_ref().map(ToString::to_string),
            sender: (self.sender != Sender::Environment).then(|| self.sender.to_string()),
            max_retries: self.max_retries,
            retry_delay_ms: self
                .retry_delay
                .map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            to: addresses(&self.lists.to),
            cc: addresses(&self.lists.cc),
            slack: self.slack.clone(),
            attachments: self.attachments.clone(),
            facts: StoredFacts::of(&self.facts),
        };
        serde_json::to_string(&stored).map_err(|e| PlanError(e.to_string()))
    }

    /// From JSON.
    pub fn from_text(text: &str) -> Result<Self, PlanError> {
        let stored: Stored = serde_json::from_str(text).map_err(|e| PlanError(e.to_string()))?;
        let tenant = stored
            .tenant
            .as_deref()
            .map(|id| valid("tenant", id))
            .transpose()?;
        Ok(Self {
            identity: Identity {
                address: valid("from", &stored.from)?,
                name: DisplayName::clean(&stored.from_name),
            },
            sender: match &stored.sender {
                Some(sender) => valid("sender", sender)?,
                None => Sender::Environment,
            },
            max_retries: stored.max_retries,
            retry_delay: stored.retry_delay_ms.map(Duration::from_millis),
            lists: Lists {
                to: stored
                    .to
                    .iter()
                    .map(|a| valid("to", a))
                    .collect::<Result<_, _>>()?,
                cc: stored
                    .cc
                    .iter()
                    .map(|a| valid("cc", a))
                    .collect::<Result<_, _>>()?,
            },
            slack: stored.slack,
            attachments: stored.attachments,
            facts: match stored.facts {
                StoredFacts::Order { order } => Facts::Order(OrderFacts { order }),
                StoredFacts::Pipeline { pipeline } => Facts::Pipeline(PipelineFacts {
                    severity: pipeline.severity,
                    title: pipeline.title,
                    message: pipeline.message,
                    tenant_id: tenant.clone(),
                    report: pipeline.report,
                }),
                StoredFacts::Event {
                    kind,
                    event_id,
                    version,
                    event,
                    changes,
                } => Facts::Event(EventFacts {
                    kind: EventKind::from_word(&kind).ok_or_else(|| unreadable("kind"))?,
                    event_id: EventId::new(event_id).map_err(|_| unreadable("event_id"))?,
                    version,
                    details: event,
                    changes,
                }),
            },
            tenant,
        })
    }
}

fn unreadable(what: &str) -> PlanError {
    PlanError(format!("{what} is not valid"))
}

fn valid<T: FromStr>(what: &str, text: &str) -> Result<T, PlanError> {
    text.parse().map_err(|_| unreadable(what))
}

impl StoredFacts {
    fn of(facts: &Facts) -> Self {
        match facts {
            Facts::Event(facts) => Self::Event {
                kind: facts.kind.as_str().to_owned(),
                event_id: facts.event_id.get(),
                version: facts.version,
                event: facts.details.clone(),
                changes: facts.changes.clone(),
            },
            Facts::Order(facts) => Self::Order {
                order: facts.order.clone(),
            },
            Facts::Pipeline(facts) => Self::Pipeline {
                pipeline: StoredPipeline {
                    severity: facts.severity,
                    title: facts.title.clone(),
                    message: facts.message.clone(),
                    report: facts.report.clone(),
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Detail, Item, OrderKind, PipelineKind};
    use rstest::rstest;

    fn plan(facts: Facts) -> Plan {
        Plan {
            tenant: None,
            sender: Sender::Environment,
            identity: Identity {
                address: "a@example.com".parse().unwrap(),
                name: DisplayName::clean("Zoë"),
            },
            facts,
            max_retries: None,
            retry_delay: None,
            lists: Lists::default(),
            slack: None,
            attachments: Vec::new(),
        }
    }

    fn event() -> Facts {
        Facts::Event(EventFacts {
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
        })
    }

    fn order() -> Facts {
        Facts::Order(OrderFacts {
            order: Order {
                kind: OrderKind::StatusUpdated,
                order_id: "ORD-7".parse().unwrap(),
                currency: Some("EUR".into()),
                total: "49.90".parse().ok(),
                items: vec![Item {
                    name: Some("Ticket \0".into()),
                    quantity: Some(2),
                    price: "24.95".parse().ok(),
                }],
                previous_status: None,
                status: Some("shipped".into()),
            },
        })
    }

    fn pipeline() -> Facts {
        Facts::Pipeline(PipelineFacts {
            severity: Severity::Critical,
            title: "T".into(),
            message: "M".into(),
            tenant_id: None,
            report: Report {
                kind: PipelineKind::DataQualityFailure,
                pipeline_id: Some("p".into()),
                pipeline_logging_id: None,
                duration_ms: Some(1200),
                error_message: None,
                table_name: None,
                failed_checks: vec!["null_check".into()],
                details: vec![Detail {
                    name: "b".into(),
                    value: "1".into(),
                }],
            },
        })
    }

    #[rstest]
    #[case(event())]
    #[case(order())]
    #[case(pipeline())]
    fn round_trip(#[case] facts: Facts) {
        let plan = plan(facts);
        let text = plan.to_text().unwrap();
        assert!(!text.contains('\0'), "no database takes a NUL in a text");
        assert_eq!(Plan::from_text(&text).unwrap(), plan);
    }

    #[test]
    fn round_trip_of_a_tenants() {
        let mut facts = pipeline();
        if let Facts::Pipeline(facts) = &mut facts {
            facts.tenant_id = "acme".parse().ok();
        }
        let plan = Plan {
            tenant: "acme".parse().ok(),
            sender: Sender::Tenant("acme".parse().unwrap()),
            max_retries: Some(0),
            retry_delay: Some(Duration::from_millis(1500)),
            lists: Lists {
                to: vec!["a@example.com".parse().unwrap()],
                cc: vec!["b@example.com".parse().unwrap()],
            },
            slack: Some(SlackAddress {
                channel: Some("#data".into()),
                mention_users: vec!["U1".into()],
                mention_channel: true,
            }),
            attachments: vec![Attachment {
                url: "https://files.example.com/a.pdf?s=1".parse().unwrap(),
                name: "a \0.pdf".into(),
            }],
            ..plan(facts)
        };
        assert_eq!(Plan::from_text(&plan.to_text().unwrap()).unwrap(), plan);
    }

    #[test]
    fn plans_of_the_first_version_are_read() {
        let text =
            r#"{"from":"a@example.com","from_name":"A","kind":"UPDATED","event_id":7,"event":{"title":"T"}}"#;
        let plan = Plan::from_text(text).unwrap();
        assert_eq!(plan.sender, Sender::Environment);
        assert!(matches!(plan.facts, Facts::Event(e) if e.details.title.as_deref() == Some("T")));
        assert!(Plan::from_text("{}").is_err());
        assert!(
            Plan::from_text(
                r#"{"from":"a@example.com","from_name":"","sender":"x","kind":"UPDATED","event_id":7}"#
            )
            .is_err()
        );
    }
}
