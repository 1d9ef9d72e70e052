//! Opens and reads one file that others write, without waiting for it and without following it elsewhere.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::time::{Duration, SystemTime};

use super::place::{Owner, Place};
use crate::policy::file::{MAX_FILE, too_large};

/// A file that changed so lately may still be being written; and a further change may not show.
const SETTLED: Duration = Duration::from_secs(1);
/// Reads of one file until it is taken for one that is being written.
const TRIES: usize = 3;

/// Which version of a file it is, as far as can be seen without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// What the file system says of it.
    Seen(Signature),
    /// Not even that can be known.
    Hidden(ErrorKind),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    file: (u64, u64),
    size: u64,
    changed: (i64, i64),
    touched: (i64, i64),
}

impl Signature {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            touched: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Mark {
    /// Looks, without opening; `None`: there is no file.
    pub(super) fn look(place: &Place, owner: &Owner) -> Option<Self> {
        let path = place.file(owner);
        // A link that leads nowhere is a file that cannot be read, not the absence of one.
        let seen = fs::metadata(&path).or_else(|e| match e.kind() {
            ErrorKind::NotFound => fs::symlink_metadata(&path),
            _ => Err(e),
        });
        match seen.map_err(|e| e.kind()) {
            Ok(metadata) => Some(Self::Seen(Signature::of(&metadata))),
            Err(ErrorKind::NotFound) => None,
            // A file among the tenants' folders is nobody's folder.
            Err(ErrorKind::NotADirectory) if owner.is_some() => None,
            Err(kind) => Some(Self::Hidden(kind)),
        }
    }

    /// Whether its content may still be half written: changed in the second before `now`, or in the one after
    /// it, where clocks differ a little.
    pub(super) fn is_fresh(&self, now: SystemTime) -> bool {
        matches!(self, Self::Seen(signature) if is_recent(signature.changed, now))
    }

    /// Whether a further change would certainly show.
    pub(super) fn is_settled(&self, now: SystemTime) -> bool {
        matches!(self, Self::Seen(signature) if !is_recent(signature.changed, now) && !is_recent(signature.touched, now))
    }
}

fn is_recent((seconds, nanos): (i64, i64), now: SystemTime) -> bool {
    let since = Duration::new(seconds.unsigned_abs(), u32::try_from(nanos).unwrap_or(0));
    let time = if seconds < 0 {
        None
    } else {
        SystemTime::UNIX_EPOCH.checked_add(since)
    };
    time.is_some_and(|time| {
        let apart = now.duration_since(time).unwrap_or_else(|ahead| ahead.duration());
        apart < SETTLED
    })
}

/// One look at a file's content.
pub(super) struct Reading {
    /// Which version was read.
    pub(super) mark: Mark,
    /// Its bytes, or why there are none.
    pub(super) content: Result<Vec<u8>, String>,
    /// Whether it stayed the same meanwhile.
    pub(super) whole: bool,
}

/// Reads the owner's file; `None`: there is none.
pub(super) fn read(place: &Place, owner: &Owner) -> Option<Reading> {
    let mut last = None;
    for _ in 0..TRIES {
        let mark = Mark::look(place, owner)?;
        let content = content(place, owner);
        let whole = Mark::look(place, owner).as_ref() == Some(&mark);
        last = Some(Reading { mark, content, whole });
        if whole {
            break;
        }
    }
    last
}

fn content(place: &Place, owner: &Owner) -> Result<Vec<u8>, String> {
    let unreadable = |e: io::Error| match e.kind() {
        ErrorKind::NotFound => "the file is a link that leads nowhere".to_owned(),
        kind => format!("the file cannot be read: {kind}"),
    };
    let canonical = fs::canonicalize(place.file(owner)).map_err(unreadable)?;
    let folder = place.canonical_folder(owner).map_err(unreadable)?;
    if !canonical.starts_with(&folder) {
        return Err("the file is a link out of its folder".to_owned());
    }
    // A pipe without a writer would otherwise be waited for, and the path has no link any more.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(&canonical)
        .map_err(unreadable)?;
    regular(&file.metadata().map_err(unreadable)?)?;
    bounded(file).map_err(unreadable)?.ok_or_else(|| {
        let size = fs::metadata(&canonical).map_or(0, |metadata| metadata.len());
        too_large(size.max(MAX_FILE as u64 + 1))
    })
}

fn regular(metadata: &Metadata) -> Result<(), String> {
    let kind = metadata.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a named pipe"
    } else {
        "a device or socket"
    };
    Err(format!("it is {what}, not a file"))
}

/// `None` where there are more bytes than are taken.
fn bounded(file: File) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= MAX_FILE).then_some(bytes))
}
