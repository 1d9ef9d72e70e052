//! What became of one post: the failure table of webhooks, in one place.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Longest wait that a webhook may ask for.
const MAX_WAIT: Duration = Duration::from_hours(1);

/// What became of one post at the webhook. All texts are on one line and at most 300 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// 2yz, and nothing else.
    Accepted,
    /// Not now: the attempt is charged and may be repeated.
    RefusedForNow {
        /// 408, 429 or 5yz.
        status: u16,
        /// What the webhook says.
        text: String,
        /// How long it asks for patience, an hour at most.
        retry_after: Option<Duration>,
    },
    /// This post, never.
    RefusedForGood {
        /// Any other 4yz, or a redirect.
        status: u16,
        /// What the webhook says, such as `channel_not_found`.
        text: String,
    },
    /// Certainly not posted, and not the post's fault: not resolved, an address that is not connected to, no
    /// connection or no TLS within the limit.
    Unsent(String),
    /// The caller took its leave back before the post left.
    Withheld,
    /// The post may have left and no answer came: nobody can know.
    Unknown(String),
}

impl Posted {
    /// What an answer means.
    pub(super) fn answered(status: u16, text: String, retry_after: Option<Duration>) -> Self {
        match status {
            200..=299 => Self::Accepted,
            300..=399 => Self::RefusedForGood {
                status,
                text: "the webhook redirects, which is not followed".into(),
            },
            // 408: the server says itself that it did not get all of the request in time.
            408 | 429 | 500..=599 => Self::RefusedForNow {
                status,
                text,
                retry_after,
            },
            400..=499 => Self::RefusedForGood { status, text },
            _ => Self::Unknown(format!("unexpected status {status}")),
        }
    }
}

/// How long `Retry-After` asks for (RFC 9110 10.2.3): seconds or a date.
pub(super) fn patience(header: &str, now: DateTime<Utc>) -> Option<Duration> {
    let header = header.trim();
    let asked = if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        // What does not fit is longer than we wait anyway.
        Duration::from_secs(header.parse().unwrap_or(u64::MAX))
    } else {
        let date = DateTime::parse_from_rfc2822(header).ok()?;
        (date.to_utc() - now).to_std().unwrap_or_default()
    };
    Some(asked.min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(200, "accepted")]
    #[case(204, "accepted")]
    #[case(301, "for good")]
    #[case(307, "for good")]
    #[case(400, "for good")]
    #[case(403, "for good")]
    #[case(404, "for good")]
    #[case(408, "for now")]
    #[case(410, "for good")]
    #[case(429, "for now")]
    #[case(500, "for now")]
    #[case(503, "for now")]
    #[case(101, "unknown")]
    #[case(999, "unknown")]
    fn the_failure_table(#[case] status: u16, #[case] means: &str) {
        let seen = match Posted::answered(status, String::new(), None) {
            Posted::Accepted => "accepted",
            Posted::RefusedForNow { .. } => "for now",
            Posted::RefusedForGood { .. } => "for good",
            Posted::Unsent(_) | Posted::Withheld => "unsent",
            Posted::Unknown(_) => "unknown",
        };
        assert_eq!(seen, means);
    }

    #[rstest]
    #[case("30", Some(30))]
    #[case(" 0 ", Some(0))]
    #[case("7200", Some(3600))]
    #[case("99999999999999999999999", Some(3600))]
    #[case("Tue, 14 Nov 2023 22:13:50 GMT", Some(30))]
    #[case("Tue, 14 Nov 2023 22:13:10 GMT", Some(0))]
    #[case("Tue, 14 Nov 2028 22:13:10 GMT", Some(3600))]
    #[case("-1", None)]
    #[case("1.5", None)]
    #[case("soon", None)]
    #[case("", None)]
    fn patience_is_bounded(#[case] header: &str, #[case] seconds: Option<u64>) {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        assert_eq!(patience(header, now), seconds.map(Duration::from_secs));
    }
}
