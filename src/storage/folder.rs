//! What a folder on disk needs besides its objects: bundles that only their owner can read, and nothing left of
//! what a crash cut off.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::StorageError;

/// What is written for longer than this is not being written any more.
const ABANDONED: Duration = Duration::from_mins(10);

/// The folder below which bundles are.
#[derive(Debug, Clone)]
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    /// The folder of a bundle is there, and its owner's alone where it is new.
    pub(super) async fn prepare(&self, bundle: &str) -> Result<(), StorageError> {
        let mut builder = tokio::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        Ok(builder.create(self.0.join(bundle)).await?)
    }

    /// Syncs these files of a bundle, as far as they are there, and the folder itself.
    pub(super) async fn sync(&self, bundle: &str, names: Vec<String>) -> Result<(), StorageError> {
        let folder = self.0.join(bundle);
        let synced = tokio::task::spawn_blocking(move || sync(&folder, &names));
        Ok(synced.await.map_err(io::Error::other)??)
    }

    /// Removes what was begun under a temporary name (`name#1`) and left by a crash.
    pub(super) async fn tidy(&self, bundle: &str) {
        let folder = self.0.join(bundle);
        let tidied = tokio::task::spawn_blocking(move || tidy(&folder, SystemTime::now()));
        if let Ok(Err(error)) = tidied.await {
            tracing::debug!(%error, "what a crash left in a bundle could not be removed");
        }
    }
}

fn sync(folder: &Path, names: &[String]) -> io::Result<()> {
    for name in names {
        match File::open(folder.join(name)) {
            Ok(file) => file.sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    File::open(folder)?.sync_all()
}

/// `#` is in no resource's name.
fn tidy(folder: &Path, now: SystemTime) -> io::Result<()> {
    for entry in folder.read_dir()? {
        let entry = entry?;
        let temporary = entry.file_name().to_string_lossy().contains('#');
        let age = || now.duration_since(entry.metadata().ok()?.modified().ok()?).ok();
        if temporary && age().is_some_and(|age| age >= ABANDONED) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn a_bundle_is_its_owners() {
        let root = tempfile::tempdir().unwrap();
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let folder = Folder(root.path().to_owned());
        for _ in 0..2 {
            folder.prepare("bundle_1").await.unwrap();
        }
        let mode = root
            .path()
            .join("bundle_1")
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn only_what_was_left_goes() {
        let root = tempfile::tempdir().unwrap();
        for name in ["a.gz", "a.gz.meta", "a.gz#1"] {
            std::fs::write(root.path().join(name), "x").unwrap();
        }
        let names = || {
            let entries = root.path().read_dir().unwrap();
            let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        tidy(root.path(), SystemTime::now()).unwrap();
        assert_eq!(names().len(), 3, "somebody may be writing it");
        tidy(root.path(), SystemTime::now() + ABANDONED * 2).unwrap();
        assert_eq!(names(), ["a.gz", "a.gz.meta"]);
    }
}
