//! What can go wrong between Herald and the broker.

use std::time::Duration;

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};

use crate::domain::one_line;

/// Longest text of the broker that is repeated, in characters.
const MAX_TEXT: usize = 300;

/// Why the broker did not do what was asked. All of these are worth another try later; none shows
/// credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// The configured address cannot be parsed.
    #[error("the broker's address is not a valid amqp:// or amqps:// URL")]
    Address,
    /// A name or id does not fit into 255 bytes (AMQP 0-9-1, 4.2.5.3).
    #[error("{0} is longer than 255 bytes")]
    TooLong(&'static str),
    /// No answer in time.
    #[error("no answer from the broker within {} s", .0.as_secs())]
    Timeout(Duration),
    /// A mandatory publish came back.
    #[error("the queue {0} does not exist: the broker returned the message")]
    Returned(String),
    /// The channel ended, and with it what was to be done over it.
    #[error("the channel to the broker is closed")]
    ChannelClosed,
    /// The broker said no to a publish.
    #[error("the broker refused to store the message")]
    Refused,
    /// The message will never be taken: its size, or characters in it.
    #[error("{0}")]
    Unfit(String),
    /// The broker or the connection to it said this.
    #[error("{text}")]
    Broker {
        /// One clean line.
        text: String,
        /// Whether it was 404: a queue that does not exist.
        not_found: bool,
    },
}

impl From<lapin::Error> for BrokerError {
    fn from(error: lapin::Error) -> Self {
        let not_found = matches!(error.kind(), ErrorKind::ProtocolError(e)
            if matches!(e.kind(), AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)));
        let text = match error.kind() {
            // The client reads properties as UTF-8 and gives up on the connection: nothing can be acked.
            ErrorKind::ParsingError(_) => {
                "the broker sent what cannot be parsed; if this repeats, a message \
                in the queue has a property or header name that is not UTF-8 and must be removed by hand"
                    .to_owned()
            }
            _ => one_line(&error.to_string(), MAX_TEXT),
        };
        Self::Broker { text, not_found }
    }
}

impl BrokerError {
    /// Whether a queue was asked for that does not exist.
    pub(super) const fn is_not_found(&self) -> bool {
        matches!(self, Self::Broker { not_found: true, .. })
    }

    /// This error without `secret`, should a peer repeat it.
    pub(super) fn without(self, secret: &str) -> Self {
        match self {
            Self::Broker { text, not_found } if !secret.is_empty() && text.contains(secret) => Self::Broker {
                text: text.replace(secret, "***"),
                not_found,
            },
            other => other,
        }
    }
}

/// `work`, given up after `limit`.
pub(super) async fn within<T, E: Into<BrokerError>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, BrokerError> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(BrokerError::Timeout(limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_password_is_masked() {
        let error = BrokerError::from(lapin::Error::from(std::io::Error::other("no s3cret here\r\n")));
        assert_eq!(error.without("s3cret").to_string(), "IO error: no *** here");
    }
}
