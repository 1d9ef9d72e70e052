//! Dummy mode: everything but the connection to a relay.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::AsyncWriteExt as _;

use super::fault::{Fault, FaultCause, Phase, Reply};
use super::handover::Handover;
use super::parcel::{Email, Written};
use crate::domain::NotificationId;

/// Accepts everything, and writes it to `<dir>/<dispatch>/<notification>.eml` if there is a folder.
#[derive(Debug, Clone, Default)]
pub struct Dummy {
    /// `EMAIL_DUMMY_DIR`.
    pub dir: Option<PathBuf>,
}

impl Dummy {
    /// Writes an e-mail; a file is there whole or not at all.
    pub(super) async fn write(&self, parcel: &Written) -> Handover {
        let Some(dir) = &self.dir else { return accepted() };
        let folder = dir.join(parcel.dispatch.to_string());
        match write_whole(&folder, parcel.notification, &parcel.email).await {
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

async fn write_whole(folder: &Path, name: NotificationId, email: &Email) -> io::Result<()> {
    let temporary = folder.join(format!(".{name}.tmp"));
    match write_parts(&temporary, email).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tokio::fs::create_dir_all(folder).await?;
            write_parts(&temporary, email).await?;
        }
        written => written?,
    }
    tokio::fs::rename(&temporary, folder.join(format!("{name}.eml"))).await
}

async fn write_parts(path: &Path, email: &Email) -> io::Result<()> {
    let mut file = tokio::fs::File::create(path).await?;
    file.write_all(&email.own).await?;
    file.write_all(&email.shared).await?;
    // Without it what was written last may still be on its way.
    file.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DispatchId, EmailAddress};
    use crate::mailer::{Outlet, Parcel};

    async fn hand_over(dir: Option<&Path>, id: &DispatchId, go: bool) -> Handover {
        let address = "ann@example.com".parse::<EmailAddress>().unwrap();
        let dummy = Dummy {
            dir: dir.map(Path::to_owned),
        };
        let mut outlet = Outlet::Dummy(dummy, None);
        outlet.add(Parcel {
            dispatch: *id,
            notification: NotificationId(7),
            from: &address,
            to: &address,
            email: Email {
                own: "x\r\n".into(),
                shared: "y\r\n".into(),
            },
        });
        outlet.advance(|_| go).await.remove(0)
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
        assert_eq!(std::fs::read(folder.join("7.eml")).unwrap(), b"x\r\ny\r\n");
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
