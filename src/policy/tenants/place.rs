//! Where the files are.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::domain::{TenantId, one_line};

/// Folders of tenants at most; further ones are found when a message names them.
pub(super) const MAX_TENANTS: usize = 100_000;

const ROOT_FILE: &str = "config.json";
const TENANT_FILE: &str = "notifications.json";

/// Whose file: a tenant's, or the root's.
pub(super) type Owner = Option<TenantId>;

/// The root's folder, and the one beside whose name the tenants' are.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
    tenants: PathBuf,
}

impl Place {
    /// `root` need not exist.
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            tenants: parent(root),
        }
    }

    /// The folder of tenants' folders.
    pub(super) fn tenants_folder(&self) -> &Path {
        &self.tenants
    }

    /// The folder in which the owner's file has to be, wherever links in it lead.
    pub(super) fn folder(&self, owner: &Owner) -> PathBuf {
        match owner {
            Some(id) => self.tenants.join(id.as_str()),
            None => self.root.clone(),
        }
    }

    /// The owner's file.
    pub(super) fn file(&self, owner: &Owner) -> PathBuf {
        self.folder(owner).join(match owner {
            Some(_) => TENANT_FILE,
            None => ROOT_FILE,
        })
    }

    /// The same for people.
    pub(super) fn shown(&self, owner: &Owner) -> String {
        one_line(&self.file(owner).display().to_string(), 500)
    }

    /// The same folder without links. A tenant's own folder may not be one: it would be another's.
    pub(super) fn canonical_folder(&self, owner: &Owner) -> io::Result<PathBuf> {
        match owner {
            Some(id) => Ok(fs::canonicalize(&self.tenants)?.join(id.as_str())),
            None => fs::canonicalize(&self.root),
        }
    }

    /// The folders whose names are tenants' ids; and whether there were more than are taken.
    pub(super) fn tenants(&self) -> io::Result<(BTreeSet<TenantId>, bool)> {
        let mut found = BTreeSet::new();
        let entries = match fs::read_dir(&self.tenants) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok((found, false)),
            Err(e) => return Err(e),
        };
        for entry in entries {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if found.len() == MAX_TENANTS {
                return Ok((found, true));
            }
            found.insert(id);
        }
        Ok((found, false))
    }
}

/// By name, as it stands, so that a link is a folder like any other; what ends in `..` has no name.
fn parent(path: &Path) -> PathBuf {
    let named = path.file_name().is_some();
    let whole = if named { None } else { fs::canonicalize(path).ok() };
    match whole.as_deref().unwrap_or(path).parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => PathBuf::from("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("./configs/notifications", "./configs/acme/notifications.json")]
    #[case("configs/notifications/", "configs/acme/notifications.json")]
    #[case("notifications", "./acme/notifications.json")]
    #[case("/notifications", "/acme/notifications.json")]
    #[case("/", "/acme/notifications.json")]
    #[case("/usr/..", "/acme/notifications.json")]
    #[case("/usr/lib/..", "/acme/notifications.json")]
    #[case("/usr/lib/.", "/usr/acme/notifications.json")]
    fn tenants_are_beside_the_roots_folder(#[case] root: &str, #[case] file: &str) {
        let place = Place::new(Path::new(root));
        assert_eq!(place.shown(&"acme".parse().ok()), file);
        assert_eq!(
            place.file(&None),
            Path::new(root).join("config.json"),
            "as it is named"
        );
    }
}
