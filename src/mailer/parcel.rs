//! One e-mail and the place where it leaves: a relay, or nowhere.

use bytes::Bytes;

use super::conversation::Conversation;
use super::dummy::Dummy;
use super::fault::{Fault, FaultCause, Phase};
use super::handover::Handover;
use crate::domain::{DispatchId, EmailAddress, NotificationId};

/// A whole e-mail, CRLF line ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// What is this e-mail's alone.
    pub own: Bytes,
    /// Behind it, the same for all e-mails of a dispatch: the attachments. ASCII; empty without any.
    pub shared: Bytes,
}

impl Email {
    /// In bytes.
    pub const fn len(&self) -> usize {
        self.own.len() + self.shared.len()
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it can travel without 8BITMIME.
    pub fn is_ascii(&self) -> bool {
        self.own.is_ascii()
    }
}

impl From<Vec<u8>> for Email {
    /// One without attachments.
    fn from(own: Vec<u8>) -> Self {
        Self {
            own: Bytes::from(own),
            shared: Bytes::new(),
        }
    }
}

/// One e-mail on its way.
#[derive(Debug)]
pub struct Parcel<'a> {
    /// Whose it is.
    pub dispatch: DispatchId,
    /// Which one.
    pub notification: NotificationId,
    /// Envelope sender.
    pub from: &'a EmailAddress,
    /// Envelope recipient.
    pub to: &'a EmailAddress,
    /// What is handed over.
    pub email: Email,
}

/// Where e-mails leave.
#[derive(Debug)]
pub enum Outlet {
    /// A conversation with a relay.
    Smtp(Box<Conversation>),
    /// Nowhere, or a folder; and the outcome of the e-mail that was added.
    Dummy(Dummy, Option<Written>),
}

/// What dummy mode needs of an e-mail.
#[derive(Debug)]
pub struct Written {
    pub(super) dispatch: DispatchId,
    pub(super) notification: NotificationId,
    pub(super) email: Email,
}

impl Outlet {
    /// How many e-mails may be added now to those that are under way.
    pub fn room(&self) -> usize {
        match self {
            Self::Smtp(conversation) => conversation.room(),
            Self::Dummy(_, waiting) => usize::from(waiting.is_none()),
        }
    }

    /// Adds an e-mail to those that are under way.
    pub fn add(&mut self, parcel: Parcel<'_>) {
        match self {
            Self::Smtp(conversation) => conversation.add(parcel),
            Self::Dummy(_, waiting) => {
                *waiting = Some(Written {
                    dispatch: parcel.dispatch,
                    notification: parcel.notification,
                    email: parcel.email,
                });
            }
        }
    }

    /// The outcomes of at least one of them, in the order of adding; see [`Conversation::advance`].
    pub async fn advance(&mut self, mut go_ahead: impl FnMut(usize) -> bool) -> Vec<Handover> {
        let (dummy, waiting) = match self {
            Self::Smtp(conversation) => return conversation.advance(go_ahead).await,
            Self::Dummy(dummy, waiting) => (dummy, waiting.take()),
        };
        match waiting {
            None => Vec::new(),
            Some(_) if !go_ahead(0) => {
                vec![Handover::Unsent(Fault::new(Phase::Data, FaultCause::Withheld))]
            }
            Some(written) => vec![dummy.write(&written).await],
        }
    }

    /// Takes back those of the last added e-mails whose text has not left; how many.
    pub fn pull_back(&mut self) -> usize {
        match self {
            Self::Smtp(conversation) => conversation.pull_back(),
            Self::Dummy(..) => 0,
        }
    }

    /// Whether another e-mail may be handed over here.
    pub const fn is_usable(&self) -> bool {
        match self {
            Self::Smtp(conversation) => conversation.is_usable(),
            Self::Dummy(..) => true,
        }
    }

    /// Takes leave.
    pub async fn quit(self) {
        match self {
            Self::Smtp(conversation) => conversation.quit().await,
            Self::Dummy(..) => {}
        }
    }
}
