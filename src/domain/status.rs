//! The closed sets of words that stand in the ledger.

use std::fmt;
use std::str::FromStr;

/// A word that is none of the set; lists what would have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {expected}")]
pub struct UnknownWord {
    expected: String,
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// All of them, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in tables, queries and answers.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(s: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|w| w.as_str() == s).ok_or_else(|| UnknownWord {
                    expected: Self::ALL.iter().map(|w| w.as_str()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

words! {
    /// What has become of a notification. Open are `pending` and `sending`.
    NotificationStatus {
        /// To be handed over, now or at its next time while the message is held.
        Pending = "pending",
        /// Marked before a handover (`hold` and quarantine only).
        Sending = "sending",
        /// The relay took it: a fact, never changed again.
        Sent = "sent",
        /// To be tried again at its next time, from the ledger.
        Deferred = "deferred",
        /// Given up, with the reason.
        Failed = "failed",
        /// Handed over, but no reply came: nobody can know.
        Unknown = "unknown",
        /// Not sent on purpose, with the reason.
        Suppressed = "suppressed",
        /// Not sent because the dispatch was cancelled.
        Cancelled = "cancelled",
    }
}

words! {
    /// What has become of a dispatch.
    DispatchStatus {
        /// In work, or about to be.
        Running = "running",
        /// Parked by an operator.
        Paused = "paused",
        /// Acked; rows wait for their next time, or pages for a lane.
        Waiting = "waiting",
        /// Closed: nobody failed or is unknown.
        Completed = "completed",
        /// Closed: some sent, some failed or unknown.
        Partial = "partial",
        /// Closed: none sent, some failed or unknown; or dead-lettered.
        Failed = "failed",
        /// Closed by an operator.
        Cancelled = "cancelled",
    }
}

words! {
    /// Where a message came from.
    Source {
        /// The broker's queue.
        Amqp = "amqp",
        /// An SQS queue.
        Sqs = "sqs",
        /// `herald dispatch`.
        Dispatch = "dispatch",
    }
}

words! {
    /// By what way a notification travels.
    Channel {
        /// SMTP.
        Email = "email",
        /// An incoming webhook.
        Slack = "slack",
    }
}

words! {
    /// How grave something is, the least first.
    Severity {
        /// Good to know.
        Info = "info",
        /// To be looked at some time.
        Warning = "warning",
        /// To be looked at soon.
        Error = "error",
        /// To be looked at now.
        Critical = "critical",
    }
}

impl serde::Serialize for Severity {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Severity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = std::borrow::Cow::<str>::deserialize(deserializer)?;
        word.parse().map_err(serde::de::Error::custom)
    }
}

impl DispatchStatus {
    /// Whether nothing more will happen to the dispatch by itself.
    pub const fn is_closed(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Partial | Self::Failed | Self::Cancelled
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for &s in NotificationStatus::ALL {
            assert_eq!(s.as_str().parse(), Ok(s));
        }
        let err = "gone".parse::<DispatchStatus>().unwrap_err();
        assert!(err.to_string().contains("running, paused, waiting"));
    }
}
