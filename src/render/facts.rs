//! What an e-mail is made of.

use crate::domain::{DisplayName, EmailAddress};

pub use crate::policy::{EventFacts, Facts, OrderFacts, PipelineFacts};

/// Whom an e-mail is for.
#[derive(Debug, Clone, Copy)]
pub struct Recipient<'a> {
    /// Possibly empty.
    pub name: &'a DisplayName,
    /// The mailbox.
    pub address: &'a EmailAddress,
    /// Where this recipient can unsubscribe, `http` or `https`.
    pub unsubscribe_url: Option<&'a str>,
}
