//! The variables that templates see. Every field is always there; what is unknown is `null`. Texts from
//! outside are cleaned and bounded, and lists end after so many with the number of the rest.

mod event;
mod order;
mod pipeline;

pub use event::{ChangeContext, EventContext, WhenContext};
pub use order::{ItemContext, OrderContext};
pub use pipeline::{DetailContext, PipelineContext};

use serde::Serialize;

use crate::domain::Identity;

use super::facts::Recipient;

/// Longest title shown, in characters.
const MAX_TITLE: usize = 200;

/// `sender`: whom the e-mail is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SenderContext {
    /// Possibly empty.
    pub name: String,
    /// The mailbox.
    pub address: String,
}

/// `recipient`: whom the e-mail is for; not there in subjects, which all recipients share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecipientContext<'a> {
    /// Possibly empty.
    pub name: &'a str,
    /// The mailbox.
    pub address: &'a str,
    /// Where to unsubscribe.
    pub unsubscribe_url: Option<&'a str>,
}

impl SenderContext {
    /// The sender's name and address.
    pub fn new(identity: &Identity) -> Self {
        Self {
            name: identity.name.as_str().to_owned(),
            address: identity.address.as_str().to_owned(),
        }
    }

    /// A sender with a name.
    pub fn sample() -> Self {
        Self {
            name: "Notification Service".to_owned(),
            address: "notifications@example.com".to_owned(),
        }
    }
}

impl<'a> RecipientContext<'a> {
    /// The recipient's name, address and link.
    pub fn new(recipient: &Recipient<'a>) -> Self {
        Self {
            name: recipient.name.as_str(),
            address: recipient.address.as_str(),
            unsubscribe_url: recipient.unsubscribe_url,
        }
    }

    /// A recipient of whom everything is known.
    pub fn sample() -> Self {
        Self {
            name: "Ann",
            address: "ann@example.com",
            unsubscribe_url: Some("https://example.com/u/1"),
        }
    }
}
