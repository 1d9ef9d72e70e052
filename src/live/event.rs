//! What can happen. Texts from outside are bounded, and are never more than text.

use serde::{Deserialize, Serialize};

use super::Tally;
use crate::domain::one_line;

/// Longest text in an event, in characters.
const MAX_TEXT: usize = 1_000;

/// One event. `message_type` is the message's own `type`, which names the event here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
#[expect(missing_docs, reason = "README.md has each field")]
pub enum Event {
    /// Work on a dispatch begins, not only for the first time.
    #[serde(rename = "dispatch.started")]
    DispatchStarted {
        dispatch_id: String,
        message_type: String,
        tenant_id: Option<String>,
        event_id: Option<i64>,
        order_id: Option<String>,
    },
    /// How far a dispatch is; `status` is `running`, or what it is left as when nobody works on it now.
    #[serde(rename = "dispatch.progress")]
    DispatchProgress {
        dispatch_id: String,
        status: String,
        counts: Tally,
    },
    /// A dispatch is closed.
    #[serde(rename = "dispatch.completed")]
    DispatchCompleted {
        dispatch_id: String,
        status: String,
        counts: Tally,
    },
    /// Given up, for good.
    #[serde(rename = "notification.failed")]
    NotificationFailed {
        notification_id: i64,
        dispatch_id: String,
        recipient: Option<String>,
        error: String,
    },
    /// A message that can never be processed.
    #[serde(rename = "dead_letter")]
    DeadLetter {
        reason: String,
        error: String,
        message_id: Option<String>,
        dispatch_id: Option<String>,
    },
    /// A lane closed, for this reply, or opened.
    #[serde(rename = "relay.state")]
    RelayState {
        relay: String,
        state: String,
        reply: Option<String>,
    },
    /// A configuration file cannot be used any more; without `error`: it can again.
    #[serde(rename = "config.invalid")]
    ConfigInvalid {
        tenant_id: Option<String>,
        file: String,
        error: Option<String>,
    },
}

/// A text from outside as it may stand in an event.
pub(super) fn text(text: &str) -> String {
    one_line(text, MAX_TEXT)
}
