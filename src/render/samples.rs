//! Made-up people and facts, to preview and check templates with: each once with everything known and once
//! with nothing known that may be missing.

use crate::domain::{DisplayName, EmailAddress, Identity};
use crate::message::{
    Change, Detail, EventDetails, EventKind, Item, MessageKind, Order, OrderKind, PipelineKind, Report,
};

use super::facts::{EventFacts, Facts, OrderFacts, PipelineFacts, Recipient};

/// Made-up people.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Whom the e-mail is from.
    pub sender: Identity,
    name: DisplayName,
    address: EmailAddress,
}

impl Sample {
    /// Ann, mailed by the Notification Service.
    pub fn new() -> Self {
        let sender = Identity {
            address: parsed("notifications@example.com"),
            name: DisplayName::clean("Notification Service"),
        };
        Self {
            sender,
            name: DisplayName::clean("Ann"),
            address: parsed("ann@example.com"),
        }
    }

    /// The same without names.
    pub(super) fn nameless() -> Self {
        let Self { sender, address, .. } = Self::new();
        let name = DisplayName::default();
        Self {
            sender: Identity {
                name: name.clone(),
                ..sender
            },
            name,
            address,
        }
    }

    /// Whom the e-mail is for.
    pub fn recipient(&self) -> Recipient<'_> {
        let unsubscribe_url = (!self.name.is_empty()).then_some("https://example.com/u/1");
        Recipient {
            name: &self.name,
            address: &self.address,
            unsubscribe_url,
        }
    }
}

impl Default for Sample {
    fn default() -> Self {
        Self::new()
    }
}

/// A constant of this file as a value: the tests call every function that has one.
fn parsed<T: std::str::FromStr>(constant: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    constant.parse().expect("the constant is valid")
}

impl EventFacts {
    /// An event of which everything is known, to preview and check templates with.
    pub fn sample(kind: EventKind) -> Self {
        let change = |field: &str, from: &str, to: &str| Change {
            field: field.to_owned(),
            from: Some(from.to_owned()),
            to: Some(to.to_owned()),
        };
        let changes = match kind {
            EventKind::Updated => vec![
                change("location", "Hall 1", "Hall 2, Exhibition Centre"),
                change(
                    "starts_at",
                    "2026-12-01T17:30:00+01:00",
                    "2026-12-01T18:00:00+01:00",
                ),
            ],
            EventKind::Created | EventKind::Cancelled => Vec::new(),
        };
        Self {
            version: Some(4),
            details: EventDetails {
                title: Some("Rust Meetup: Winter Edition".to_owned()),
                starts_at: Some(parsed("2026-12-01T18:00:00+01:00")),
                ends_at: Some(parsed("2026-12-01T21:00:00+01:00")),
                timezone: Some(chrono_tz::Europe::Berlin),
                location: Some("Hall 2, Exhibition Centre".to_owned()),
                url: Some(parsed("https://example.com/e/123")),
            },
            changes,
            ..Self::bare(kind)
        }
    }

    /// An event of which nothing but its id is known.
    pub(super) fn bare(kind: EventKind) -> Self {
        Self {
            kind,
            event_id: parsed("123"),
            version: None,
            details: EventDetails::default(),
            changes: Vec::new(),
        }
    }
}

impl OrderFacts {
    /// An order of which everything is known, to preview and check templates with.
    pub fn sample(kind: OrderKind) -> Self {
        let item = |name: &str, quantity, price: &str| Item {
            name: Some(name.to_owned()),
            quantity: Some(quantity),
            price: Some(parsed(price)),
        };
        let status = |word: &str| Some(word.to_owned());
        let (previous_status, status) = match kind {
            OrderKind::Created => (None, status("paid")),
            OrderKind::StatusUpdated => (status("paid"), status("shipped")),
        };
        Self {
            order: Order {
                currency: Some("EUR".to_owned()),
                total: Some(parsed("61.85")),
                items: vec![
                    item("Ticket: Rust Meetup, Winter Edition", 2, "24.95"),
                    item("T-shirt, size M", 1, "11.95"),
                ],
                previous_status,
                status,
                ..Self::bare(kind).order
            },
        }
    }

    /// An order of which nothing but what has to be there is known.
    pub(super) fn bare(kind: OrderKind) -> Self {
        Self {
            order: Order {
                kind,
                order_id: parsed("ORD-7"),
                currency: None,
                total: None,
                items: Vec::new(),
                previous_status: None,
                status: matches!(kind, OrderKind::StatusUpdated).then(|| "shipped".to_owned()),
            },
        }
    }
}

impl PipelineFacts {
    /// A report of which everything is known, to preview and check templates with.
    pub fn sample(kind: PipelineKind) -> Self {
        let (title, message, error) = words(kind);
        let text = |text: &str| Some(text.to_owned());
        let detail = |name: &str, value: &str| Detail {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let checks: &[&str] = match kind {
            PipelineKind::DataQualityFailure | PipelineKind::DataQualityWarning => {
                &["null_check(customer_id)", "row_count >= 1000"]
            }
            _ => &[],
        };
        let bare = Self::bare(kind);
        Self {
            title: title.to_owned(),
            message: message.to_owned(),
            tenant_id: Some(parsed("acme_corp")),
            report: Report {
                pipeline_id: text("daily_ingestion"),
                pipeline_logging_id: text("run-2026-11-20-0930"),
                duration_ms: Some(200_000),
                error_message: error.map(str::to_owned),
                table_name: text("raw_customer_data"),
                failed_checks: checks.iter().map(|&check| check.to_owned()).collect(),
                details: vec![
                    detail("source", "postgres://warehouse.example.com/sales"),
                    detail("rows_read", "120431"),
                    detail("attempt", "3"),
                ],
                ..bare.report
            },
            ..bare
        }
    }

    /// A report of which nothing but its type is known; title and message are always composed.
    pub(super) fn bare(kind: PipelineKind) -> Self {
        Self {
            severity: kind.default_severity(),
            title: "Pipeline report".to_owned(),
            message: "Something happened to a pipeline.".to_owned(),
            tenant_id: None,
            report: Report {
                kind,
                pipeline_id: None,
                pipeline_logging_id: None,
                duration_ms: None,
                error_message: None,
                table_name: None,
                failed_checks: Vec::new(),
                details: Vec::new(),
            },
        }
    }
}

/// Title, message and error of a sample.
fn words(kind: PipelineKind) -> (&'static str, &'static str, Option<&'static str>) {
    match kind {
        PipelineKind::Started => ("Pipeline Started", "The daily ingestion has begun.", None),
        PipelineKind::Success => (
            "Pipeline Succeeded",
            "The daily ingestion has loaded all sources.",
            None,
        ),
        PipelineKind::Failure => (
            "Pipeline Failed",
            "The daily ingestion failed while it read from the warehouse.\nIt is tried again at 10:00.",
            Some(
                "ConnectionError: timed out after 30 s\n  at warehouse.read (ingest.py:42)\n  at main (ingest.py:7)",
            ),
        ),
        PipelineKind::Warning => (
            "Pipeline Warning",
            "The daily ingestion took much longer than usual.",
            None,
        ),
        PipelineKind::DataQualityFailure => (
            "Data Quality Check Failed",
            "Two checks of the customers' data did not pass.",
            None,
        ),
        PipelineKind::DataQualityWarning => ("Data Quality Warning", "The customers' data have gaps.", None),
        PipelineKind::RateLimitExceeded => (
            "Rate Limit Exceeded",
            "The CRM answered 429 Too Many Requests.",
            Some("HTTP 429, Retry-After: 120"),
        ),
        PipelineKind::SystemError => (
            "System Error",
            "The scheduler has stopped. No pipeline runs until it is started again.",
            Some("kernel: Out of memory: Killed process 4312 (scheduler)"),
        ),
    }
}

impl Facts {
    /// Facts with everything known, to preview and check templates with.
    pub fn sample(kind: MessageKind) -> Self {
        match kind {
            MessageKind::Event(kind) => Self::Event(EventFacts::sample(kind)),
            MessageKind::Order(kind) => Self::Order(OrderFacts::sample(kind)),
            MessageKind::Pipeline(kind) => Self::Pipeline(PipelineFacts::sample(kind)),
        }
    }

    /// The same with nothing known that may be missing.
    pub(super) fn bare(kind: MessageKind) -> Self {
        match kind {
            MessageKind::Event(kind) => Self::Event(EventFacts::bare(kind)),
            MessageKind::Order(kind) => Self::Order(OrderFacts::bare(kind)),
            MessageKind::Pipeline(kind) => Self::Pipeline(PipelineFacts::bare(kind)),
        }
    }
}
