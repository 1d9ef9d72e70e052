//! What workers tell each other. Anybody who may publish to the exchange can send anything: what is no frame is
//! passed over, and what is one is text for people and no more.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Event;

/// Longest frame that is read, in bytes.
pub const MAX_FRAME: usize = 64 * 1024;

/// Longest name of a worker, in bytes.
const MAX_WORKER: usize = 64;

/// Most that one frame counts: a second's work.
const MAX_COUNT: u64 = 10_000_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Frame {
    pub(super) worker: String,
    pub(super) at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<Event>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) sent: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) failed: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Frame {
    pub(super) fn event(worker: &str, at: DateTime<Utc>, event: Event) -> Self {
        Self {
            event: Some(event),
            ..Self::counts(worker, at, 0, 0)
        }
    }

    pub(super) fn counts(worker: &str, at: DateTime<Utc>, sent: u64, failed: u64) -> Self {
        Self {
            worker: worker.to_owned(),
            at,
            event: None,
            sent,
            failed,
        }
    }

    /// `None`: it is none.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        if body.len() > MAX_FRAME {
            return None;
        }
        let frame: Self = serde_json::from_slice(body).ok()?;
        let worker = frame.worker.as_bytes();
        let named = (1..=MAX_WORKER).contains(&worker.len()) && worker.iter().all(u8::is_ascii_alphanumeric);
        (named && frame.sent.max(frame.failed) <= MAX_COUNT).then_some(frame)
    }

    /// The event as clients get it, without its first brace, number and time.
    pub(super) fn shown(&self) -> Option<String> {
        let text = serde_json::to_string(self.event.as_ref()?).ok()?;
        let inner = text.strip_prefix('{')?.strip_suffix('}')?;
        Some(format!("{inner},\"worker\":\"{}\"}}", self.worker))
    }
}
