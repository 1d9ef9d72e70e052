//! What is told of the end of a dispatch.

use serde::{Deserialize, Serialize, Serializer};

use super::{Bundled, Unfinished};
use crate::domain::DispatchId;
use crate::repository::Completion;

/// The notice, with the fields in the order in which they are sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The bundle's id, which is its dispatch's: copies of a notice have the same.
    #[serde(serialize_with = "shown")]
    pub bundle_id: DispatchId,
    /// What kind of work it was: `event.updated`, `order.created`, `pipeline.pipeline_failure`, …
    pub recipe_id: String,
    /// What it was about: `herald://events/123`.
    pub primary_url: String,
    /// Resources in the bundle.
    pub resources_count: u64,
    /// Where they are; none where nothing is stored.
    pub storage_key: Option<String>,
    /// When the dispatch was closed, in UTC.
    pub completion_timestamp: String,
    /// How it went.
    pub metadata: Metadata,
}

/// How the dispatch went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// Where the message came from: `amqp`, `sqs` or `dispatch`.
    pub source: String,
    /// The dispatch.
    pub run_id: String,
    /// Resources in the bundle.
    pub resources_count: u64,
    /// The dispatch's status at its first close.
    pub status: String,
    /// Notifications sent by then.
    pub sent: u64,
    /// Notifications failed by then.
    pub failed: u64,
    /// `incomplete` where the bundle could not be finalised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
}

fn shown<S: Serializer>(id: &DispatchId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// A row of the outbox that cannot be read, or a notice that cannot be written: a newer version's or a hand's doing.
#[derive(Debug, thiserror::Error)]
#[error("the outbox has what cannot be read: {0}")]
pub struct NoticeError(String);

/// As the close wrote it.
#[derive(Deserialize)]
struct Value {
    bundle_ref: BundleRef,
    metadata: Known,
    timestamp: String,
}

#[derive(Deserialize)]
struct BundleRef {
    primary_url: String,
}

#[derive(Deserialize)]
struct Known {
    source: Option<String>,
    run_id: String,
    status: String,
    sent: u64,
    failed: u64,
}

impl Notice {
    /// As it is sent.
    pub fn to_json(&self) -> Result<String, NoticeError> {
        serde_json::to_string(self).map_err(|e| NoticeError(e.to_string()))
    }

    /// From a row of the outbox and what became of the bundle.
    pub(super) fn new(row: &Completion, bundled: &Result<Bundled, Unfinished>) -> Result<Self, NoticeError> {
        let bundle_id = row.dispatch().map_err(|e| NoticeError(e.to_string()))?;
        let value: Value = serde_json::from_str(&row.value).map_err(|e| NoticeError(e.to_string()))?;
        let (bundled, incomplete) = match bundled {
            Ok(bundled) => (bundled.clone(), None),
            Err(_) => (Bundled::default(), Some("incomplete".to_owned())),
        };
        Ok(Self {
            bundle_id,
            recipe_id: row.recipe_id.clone(),
            primary_url: value.bundle_ref.primary_url,
            resources_count: bundled.resources_count,
            storage_key: bundled.storage_key,
            completion_timestamp: value.timestamp,
            metadata: Metadata {
                source: value.metadata.source.unwrap_or_default(),
                run_id: value.metadata.run_id,
                resources_count: bundled.resources_count,
                status: value.metadata.status,
                sent: value.metadata.sent,
                failed: value.metadata.failed,
                bundle: incomplete,
            },
        })
    }
}
