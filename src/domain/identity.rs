//! Who a dispatch is from.

use super::{DisplayName, EmailAddress};

/// The sender of a dispatch's e-mails. It is fixed when the dispatch is accepted: a change of the
/// configuration does not split a dispatch between two senders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Address in From, Reply-To and the envelope; its domain also names the Message-IDs.
    pub address: EmailAddress,
    /// Name shown beside the address.
    pub name: DisplayName,
}
