//! Dummy mode: everything but the connection to a relay.

use std::io;
use std::path::{Path, PathBuf};

use super::conversation::Conversation;
use super::fault::{Fault, FaultCause, Phase, Reply};
use super::handover::Handover;
use crate::domain::{DispatchId, EmailAddress, NotificationId};

/// One e-mail on its way.
#[derive(Debug, Clone, Copy)]
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
    pub email: &'a [u8],
}

/// Where an e-mail leaves.
#[derive(Debug)]
pub enum Outlet {
    /// A conversation with a relay.
    Smtp(Box<Conversation>),
    /// Nowhere, or a folder.
    Dummy(Dummy),
}

impl Outlet {
    /// Hands `parcel` over; `go_ahead` is asked right before what cannot be taken back.
    pub async fn hand_over(&mut self, parcel: &Parcel<'_>, go_ahead: impl FnOnce() -> bool) -> Handover {
        match self {
            Self::Smtp(conversation) => {
                conversation
                    .hand_over_if(parcel.from, parcel.to, parcel.email, go_ahead)
                    .await
            }
            Self::Dummy(_) if !go_ahead() => Handover::Unsent(Fault::new(Phase::Data, FaultCause::Withheld)),
            Self::Dummy(dummy) => dummy.hand_over(parcel).await,
        }
    }

    /// Whether another e-mail may be handed over here.
    pub const fn is_usable(&self) -> bool {
        match self {
            Self::Smtp(conversation) => conversation.is_usable(),
            Self::Dummy(_) => true,
        }
    }

    /// Takes leave.
    pub async fn quit(self) {
        match self {
            Self::Smtp(conversation) => conversation.quit().await,
            Self::Dummy(_) => {}
        }
    }
}

/// Accepts everything, and writes it to `<dir>/<dispatch>/<notification>.eml` if there is a folder.
#[derive(Debug, Clone, Default)]
pub struct Dummy {
    /// `EMAIL_DUMMY_DIR`.
    pub dir: Option<PathBuf>,
}

impl Dummy {
    /// Writes `parcel`'s e-mail; a file is there whole or not at all.
    pub async fn hand_over(&self, parcel: &Parcel<'_>) -> Handover {
        let Some(dir) = &self.dir else { return accepted() };
        let folder = dir.join(parcel.dispatch.to_string());
        match write_whole(&folder, parcel.notification, parcel.email).await {
            Ok(()) => accepted(),
            Err(error) => {
                let cause = FaultCause::Io(format!("EMAIL_DUMMY_DIR: {}: {error}", folder.display()));
                Handover::Unsent(Fault::new(Phase::Data, cause))
            }
        }
    }
}

fn accepted() -> Handover {
    Handover::Accepted(Reply {
        code: 250,
        enhanced: Some((2, 0, 0)),
        text: "dummy mode".into(),
    })
}

async fn write_whole(folder: &Path, name: NotificationId, email: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!(".{name}.tmp"));
    match tokio::fs::write(&temporary, email).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tokio::fs::create_dir_all(folder).await?;
            tokio::fs::write(&temporary, email).await?;
        }
        written => written?,
    }
    tokio::fs::rename(&temporary, folder.join(format!("{name}.eml"))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn hand_over(dir: Option<&Path>, id: &DispatchId, go: bool) -> Handover {
        let address = "ann@example.com".parse::<EmailAddress>().unwrap();
        let parcel = Parcel {
            dispatch: *id,
            notification: NotificationId(7),
            from: &address,
            to: &address,
            email: b"Subject: x\r\n\r\nhello\r\n",
        };
        let mut outlet = Outlet::Dummy(Dummy {
            dir: dir.map(Path::to_owned),
        });
        outlet.hand_over(&parcel, || go).await
    }

    #[tokio::test]
    async fn writes_one_file_for_each() {
        let dir = tempfile::tempdir().unwrap();
        let id = DispatchId::generate();
        for _ in 0..2 {
            let handover = hand_over(Some(dir.path()), &id, true).await;
            assert!(matches!(handover, Handover::Accepted(_)));
        }
        let folder = dir.path().join(id.to_string());
        let names: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["7.eml"]);
        assert_eq!(
            std::fs::read(folder.join("7.eml")).unwrap(),
            b"Subject: x\r\n\r\nhello\r\n"
        );
    }

    #[tokio::test]
    async fn without_folder_or_leave_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let id = DispatchId::generate();
        assert!(matches!(hand_over(None, &id, true).await, Handover::Accepted(_)));
        let withheld = hand_over(Some(dir.path()), &id, false).await;
        assert!(matches!(withheld, Handover::Unsent(fault) if fault.cause == FaultCause::Withheld));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_is_nobodys_fault() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let handover = hand_over(Some(&file), &DispatchId::generate(), true).await;
        assert!(matches!(handover, Handover::Unsent(fault) if fault.to_string().contains("EMAIL_DUMMY_DIR")));
    }
}
