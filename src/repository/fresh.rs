//! From a participant, or somebody who is named, to a fresh row of the ledger.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use sha2::{Digest, Sha256};

use super::foreign::readable;
use super::schema::notifications;
use crate::domain::{
    Addressee, Channel, DispatchId, DisplayName, EmailAddress, NotificationStatus, one_line,
};

/// Longest text kept for an address that is none, in characters.
const MAX_RECIPIENT: usize = 320;

/// Longest locale kept, in characters.
const MAX_LOCALE: usize = 35;

/// Id, address, name, locale, and whether they unsubscribed; texts as bytes, since others wrote them.
pub(super) type Participant = (i64, Vec<u8>, Vec<u8>, Option<Vec<u8>>, bool);

/// A row to insert.
#[derive(Debug, Insertable)]
#[diesel(table_name = notifications)]
#[diesel(treat_none_as_default_value = false)]
pub(super) struct NewNotification {
    dispatch_id: String,
    channel: &'static str,
    recipient: Option<String>,
    participant_id: Option<i64>,
    name: String,
    locale: Option<String>,
    message_id: String,
    status: &'static str,
    error: Option<String>,
    created_at: NaiveDateTime,
    updated_at: NaiveDateTime,
}

impl NewNotification {
    /// An address that can be no mailbox fails here, alone and with its reason; an unsubscribed
    /// participant is told nothing, and that is recorded.
    pub(super) fn of(p: Participant, dispatch: DispatchId, domain: &str, now: NaiveDateTime) -> Self {
        let (participant_id, email, name, locale, unsubscribed) = p;
        let failed = |text: &str, why: String| {
            (
                no_address(text, participant_id),
                NotificationStatus::Failed,
                Some(why),
            )
        };
        let (recipient, status, error) = match String::from_utf8(email) {
            Err(e) => failed(&readable(e.into_bytes()), "the address is not UTF-8".to_owned()),
            Ok(email) => match email.parse::<EmailAddress>() {
                Err(why) => failed(&email, why.to_string()),
                Ok(address) if unsubscribed => (
                    address.to_string(),
                    NotificationStatus::Suppressed,
                    Some("unsubscribed".to_owned()),
                ),
                Ok(address) => (address.to_string(), NotificationStatus::Pending, None),
            },
        };
        Self {
            message_id: message_id(dispatch, Channel::Email, &recipient, domain),
            dispatch_id: dispatch.to_string(),
            channel: Channel::Email.as_str(),
            recipient: Some(recipient),
            participant_id: Some(participant_id),
            name: DisplayName::clean(&readable(name)).as_str().to_owned(),
            locale: locale.map(|l| one_line(&readable(l), MAX_LOCALE)),
            status: status.as_str(),
            error,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether it has its outcome already.
    pub(super) fn is_settled(&self) -> bool {
        self.status != NotificationStatus::Pending.as_str()
    }

    /// Of somebody whom the message itself or a configuration names.
    pub(super) fn listed(
        addressee: &Addressee,
        dispatch: DispatchId,
        domain: &str,
        now: NaiveDateTime,
    ) -> Self {
        let recipient = addressee.recipient.as_deref();
        let status = match addressee.suppressed {
            Some(_) => NotificationStatus::Suppressed,
            None => NotificationStatus::Pending,
        };
        Self {
            message_id: message_id(dispatch, addressee.channel, recipient.unwrap_or_default(), domain),
            dispatch_id: dispatch.to_string(),
            channel: addressee.channel.as_str(),
            recipient: recipient.map(str::to_owned),
            participant_id: None,
            name: addressee.name.as_str().to_owned(),
            locale: None,
            status: status.as_str(),
            error: addressee.suppressed.clone(),
            created_at: now,
            updated_at: now,
        }
    }
}

/// What is kept of an address that is none. It is never one itself: cleaned of what made it impossible
/// it could equal a good address, and would take that one's only place in the ledger.
fn no_address(text: &str, participant: i64) -> String {
    let shown = one_line(text, MAX_RECIPIENT);
    if shown.parse::<EmailAddress>().is_ok() {
        format!("{shown} (participant {participant})")
    } else {
        shown
    }
}

/// The Message-ID of a notification: it follows from dispatch, channel and recipient, so that every copy
/// has the same one whoever sends it.
fn message_id(dispatch: DispatchId, channel: Channel, recipient: &str, domain: &str) -> String {
    format!("{}{domain}", message_id_left(dispatch, channel, recipient))
}

/// The same up to its `@`.
pub fn message_id_left(dispatch: DispatchId, channel: Channel, recipient: &str) -> String {
    let digest = Sha256::new()
        .chain_update(channel.as_str())
        .chain_update([0])
        .chain_update(recipient)
        .finalize();
    format!("{}.{}@", dispatch.simple(), hex::encode(&digest[..8]))
}
