//! The closed sets of words, as the description lists them.
#![expect(
    dead_code,
    reason = "they only describe; the values themselves are those of `domain`"
)]

use utoipa::ToSchema;

/// What has become of a notification.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum NotificationStatus {
    Pending,
    Sending,
    Sent,
    Deferred,
    Failed,
    Unknown,
    Suppressed,
    Cancelled,
}

/// What has become of a dispatch.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum DispatchStatus {
    Running,
    Paused,
    Waiting,
    Completed,
    Partial,
    Failed,
    Cancelled,
}

/// By what way a notification travels.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum Channel {
    Email,
    Slack,
}

/// Why a message can never be processed.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub(super) enum Reason {
    InvalidJson,
    UnknownType,
    InvalidField,
    TooLarge,
    MessageIdConflict,
    TenantConfig,
    Attachment,
    Exhausted,
}

/// What kind of work a dispatch was.
#[derive(ToSchema)]
pub(super) enum Recipe {
    #[schema(rename = "event.created")]
    EventCreated,
    #[schema(rename = "event.updated")]
    EventUpdated,
    #[schema(rename = "event.cancelled")]
    EventCancelled,
    #[schema(rename = "order.created")]
    OrderCreated,
    #[schema(rename = "order.status.updated")]
    OrderStatusUpdated,
    #[schema(rename = "pipeline.pipeline_started")]
    Started,
    #[schema(rename = "pipeline.pipeline_success")]
    Success,
    #[schema(rename = "pipeline.pipeline_failure")]
    Failure,
    #[schema(rename = "pipeline.pipeline_warning")]
    Warning,
    #[schema(rename = "pipeline.data_quality_failure")]
    DataQualityFailure,
    #[schema(rename = "pipeline.data_quality_warning")]
    DataQualityWarning,
    #[schema(rename = "pipeline.rate_limit_exceeded")]
    RateLimitExceeded,
    #[schema(rename = "pipeline.system_error")]
    SystemError,
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    fn words<T: PartialSchema>() -> Vec<String> {
        let schema = serde_json::to_value(T::schema()).unwrap();
        let words = schema["enum"].as_array().unwrap().iter();
        words.map(|word| word.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn they_are_those_of_the_domain() {
        use crate::{domain, message};
        let all = domain::NotificationStatus::ALL.iter().map(|w| w.as_str());
        assert!(all.eq(words::<super::NotificationStatus>()));
        let all = domain::DispatchStatus::ALL.iter().map(|w| w.as_str());
        assert!(all.eq(words::<super::DispatchStatus>()));
        let all = domain::Channel::ALL.iter().map(|w| w.as_str());
        assert!(all.eq(words::<super::Channel>()));
        let all = message::Reason::ALL.iter().map(|w| w.as_str());
        assert!(all.eq(words::<super::Reason>()));
        assert!(message::Recipe::all().eq(words::<super::Recipe>()));
    }
}
