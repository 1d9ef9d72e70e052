//! What a message says about a data pipeline.

use serde::{Deserialize, Serialize};

use crate::domain::{Severity, TenantId};

macro_rules! kinds {
    ($($(#[$meta:meta])* $variant:ident = $word:literal, $severity:ident;)+) => {
        /// What happened to the pipeline: the message's `type`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum PipelineKind {
            $($(#[$meta])* #[serde(rename = $word)] $variant,)+
        }

        impl PipelineKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in the message.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// How grave it is where neither message nor trigger says so.
            pub const fn default_severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity),+ }
            }
        }
    };
}

kinds! {
    /// It has begun.
    Started = "pipeline_started", Info;
    /// It has done its work.
    Success = "pipeline_success", Info;
    /// It has failed.
    Failure = "pipeline_failure", Error;
    /// Something is not as it should be.
    Warning = "pipeline_warning", Warning;
    /// Its data are wrong.
    DataQualityFailure = "data_quality_failure", Warning;
    /// Its data may be wrong.
    DataQualityWarning = "data_quality_warning", Warning;
    /// It asked somebody too often.
    RateLimitExceeded = "rate_limit_exceeded", Warning;
    /// What it runs on has failed.
    SystemError = "system_error", Critical;
}

/// Something about a pipeline, to be told to the tenant's recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineMessage {
    /// Whose recipients; the root's without one.
    pub tenant_id: Option<TenantId>,
    /// As with events; recorded.
    pub version: Option<i64>,
    /// How grave the publisher says it is.
    pub severity: Option<Severity>,
    /// A title in the publisher's words.
    pub title: Option<String>,
    /// A sentence in the publisher's words.
    pub message: Option<String>,
    /// What is told.
    pub report: Report,
}

/// What is known of what happened; each field but the first may be unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What happened.
    pub kind: PipelineKind,
    /// To which pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_id: Option<String>,
    /// In which run of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_logging_id: Option<String>,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// What went wrong, in a program's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Which table it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_name: Option<String>,
    /// Checks that did not pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_checks: Vec<String>,
    /// Whatever else the publisher says, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
}

/// One of the details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// Its key.
    pub name: String,
    /// Its value: a string as it is, anything else as JSON.
    pub value: String,
}
