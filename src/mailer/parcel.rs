//! One e-mail and the place where it leaves: a relay, or nowhere.

use super::conversation::Conversation;
use super::dummy::Dummy;
use super::fault::{Fault, FaultCause, Phase};
use super::handover::Handover;
use crate::domain::{DispatchId, EmailAddress, NotificationId};

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
    /// The whole e-mail, CRLF line ends.
    pub email: Vec<u8>,
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
    pub(super) email: Vec<u8>,
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
