//! A folder of templates on disk: what it looked like when it was read, and what is in it. Looking never
//! waits, whatever stands there.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Entries of a folder that are looked at; one with more is no folder of templates.
pub(super) const MAX_ENTRIES: usize = 1000;

/// A folder that may hold templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    /// Where it is.
    pub(super) path: PathBuf,
    /// What neither it nor a file in it may lead out of.
    pub(super) within: Option<PathBuf>,
}

/// What a folder looks like without anything being opened. As long as it stays equal, the files are the
/// same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    /// There is none.
    Absent,
    /// It cannot be looked into.
    Closed(ErrorKind),
    /// Its own marks, and the names and marks of what is in it, sorted.
    Listing(Vec<Mark>, Vec<(OsString, Vec<Mark>)>),
}

/// What the file system says about a file without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    place: (u64, u64),
    mode: u32,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    fn of(metadata: &Metadata) -> Self {
        Self {
            place: (metadata.dev(), metadata.ino()),
            mode: metadata.mode(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Folder {
    /// The folder as it is now.
    pub(super) fn look(&self) -> Look {
        // A link that leads nowhere is there, and wrong.
        if let Err(error) = fs::symlink_metadata(&self.path) {
            return match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => Look::Absent,
                other => Look::Closed(other),
            };
        }
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) => return Look::Closed(error.kind()),
        };
        let mut listing = Vec::new();
        for entry in entries.take(MAX_ENTRIES + 1) {
            match entry {
                Ok(entry) => listing.push((entry.file_name(), marks(&entry.path()))),
                Err(error) => return Look::Closed(error.kind()),
            }
        }
        listing.sort_by(|(a, _), (b, _)| a.cmp(b));
        Look::Listing(marks(&self.path), listing)
    }

    /// Where `path`, which stands in this folder, really is; or why that is not allowed.
    pub(super) fn real(&self, path: &Path) -> Result<PathBuf, String> {
        let cannot = |e: std::io::Error| format!("cannot be read: {e}");
        let real = path.canonicalize().map_err(cannot)?;
        if let Some(within) = &self.within
            && !real.starts_with(within.canonicalize().map_err(cannot)?)
        {
            return Err("is a link that leads out of the tenant's folder".to_owned());
        }
        Ok(real)
    }
}

/// Of a path, and of what it leads to if it is a link.
fn marks(path: &Path) -> Vec<Mark> {
    [fs::symlink_metadata(path), fs::metadata(path)]
        .iter()
        .flatten()
        .map(Mark::of)
        .collect()
}
