//! zip. An archive is taken whole or not at all: one entry that is hostile or broken refuses all of them. A zip
//! inside stays a zip.

use std::fs::File;
use std::io::{BufReader, Read};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use zip::ZipArchive;

use super::Limits;
use super::spool::Spool;
use crate::domain::one_line;
use crate::storage::{BundleContext, ByteStream, Incoming, Resource, StorageError};

/// Bytes unpacked at once, and pieces that wait to be stored.
const STEP: (usize, usize) = (256 * 1024, 4);

/// Longest name of an entry, in bytes.
const MAX_NAME: usize = 1024;

type Archive = ZipArchive<BufReader<File>>;

/// An entry that is to be stored.
struct Entry {
    index: usize,
    name: String,
}

pub(super) async fn unpack(
    inner: &dyn BundleContext,
    what: &Incoming,
    spool: &Spool,
    limits: Limits,
) -> Result<Vec<Resource>, StorageError> {
    let (file, size) = (spool.blocking()?, spool.size);
    let looked = tokio::task::spawn_blocking(move || look_through(file, size, limits)).await;
    let entries = looked.map_err(|_| refused("reading it failed"))??;
    let mut stored = Vec::new();
    for entry in entries {
        let unpacked = Incoming {
            url: format!("{}#{}", what.url, entry.name),
            content_type: "application/octet-stream".to_owned(),
            status_code: what.status_code,
            encoding: "zip".to_owned(),
            unzip_error: None,
            prefix: what.prefix.clone(),
        };
        let body = entry_stream(spool.blocking()?, entry.index);
        stored.extend(inner.add(unpacked, body).await?);
    }
    Ok(stored)
}

fn refused(why: impl std::fmt::Display) -> StorageError {
    StorageError::Refused(format!(
        "it is no zip to be unpacked: {}",
        one_line(&why.to_string(), 200)
    ))
}

fn open(file: File) -> Result<Archive, StorageError> {
    ZipArchive::new(BufReader::new(file)).map_err(refused)
}

/// All entries to their ends, checksums included.
fn look_through(file: File, size: u64, limits: Limits) -> Result<Vec<Entry>, StorageError> {
    let mut zip = open(file)?;
    if zip.len() > limits.entries {
        return Err(refused(format_args!("more than {} entries", limits.entries)));
    }
    let (mut entries, mut spans, mut out) = (Vec::new(), Vec::new(), 0);
    let mut piece = vec![0; STEP.0];
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).map_err(refused)?;
        let name = entry.name().map_err(refused)?.into_owned();
        if entry.encrypted() {
            return Err(refused("an entry is encrypted"));
        }
        if entry.is_symlink() {
            return Err(refused("an entry is a link"));
        }
        if !is_harmless(&name) {
            return Err(refused(
                "an entry's name leads out of the archive, or is too long",
            ));
        }
        let start = entry.header_start();
        let data = entry.data_start().unwrap_or(start);
        spans.push((start, data.saturating_add(entry.compressed_size())));
        if entry.is_dir() {
            continue;
        }
        loop {
            let read = entry.read(&mut piece).map_err(refused)?;
            if read == 0 {
                break;
            }
            out += read as u64;
            if let Some(why) = limits.exceeded(size, out) {
                return Err(StorageError::Refused(why));
            }
        }
        entries.push(Entry { index, name });
    }
    spans.sort_unstable();
    if spans.windows(2).any(|two| two[0].1 > two[1].0) {
        return Err(refused("entries overlap"));
    }
    if entries.is_empty() {
        return Err(refused("nothing is in it"));
    }
    Ok(entries)
}

fn is_harmless(name: &str) -> bool {
    let parts = || name.split(['/', '\\']);
    let drive = name.as_bytes().get(1) == Some(&b':');
    name.len() <= MAX_NAME
        && !name.starts_with(['/', '\\'])
        && !drive
        && !name.contains('\0')
        && parts().all(|part| part != "..")
}

/// One entry, unpacked on a thread as fast as it is taken.
fn entry_stream(file: File, index: usize) -> ByteStream {
    let (pieces, coming) = mpsc::channel(STEP.1);
    tokio::task::spawn_blocking(move || {
        let failed = |e: StorageError| std::io::Error::other(e.to_string());
        let unpack = || {
            let mut zip = open(file).map_err(failed)?;
            let mut entry = zip.by_index(index).map_err(std::io::Error::other)?;
            let mut piece = vec![0; STEP.0];
            loop {
                let read = entry.read(&mut piece)?;
                let taken = read > 0
                    && pieces
                        .blocking_send(Ok(Bytes::copy_from_slice(&piece[..read])))
                        .is_ok();
                if !taken {
                    return Ok(());
                }
            }
        };
        if let Err(error) = unpack() {
            let _ = pieces.blocking_send(Err(error));
        }
    });
    stream::unfold(coming, |mut coming| async move {
        coming.recv().await.map(|piece| (piece, coming))
    })
    .boxed()
}
