//! Reads e-mails back out of a bundle, a page at a time and each e-mail as it comes.

use std::io;
use std::pin::Pin;

use async_compression::tokio::bufread::GzipDecoder;
use bytes::BytesMut;
use futures_util::TryStreamExt;
use tokio::io::AsyncBufRead;
use tokio_util::io::{ReaderStream, StreamReader};

use super::is_page;
use super::mbox::{MboxReader, message_id_of};
use crate::domain::{Channel, DispatchId};
use crate::repository;
use crate::storage::{BundleId, StorageError, Store};

/// Bytes unpacked at once.
const STEP: usize = 64 * 1024;

/// Longest resource that is read whole, in bytes.
const MAX_WHOLE: usize = 16 * 1024 * 1024;

/// The e-mails of one page.
pub type Emails = MboxReader<Pin<Box<dyn AsyncBufRead + Send>>>;

/// The e-mails of the page `name`.
///
/// # Errors
/// What the storage says.
pub async fn emails(store: &Store, bid: &BundleId, name: &str) -> Result<Emails, StorageError> {
    // What the storage does not give may come another time; what cannot be unpacked never does.
    let away = |e| io::Error::new(io::ErrorKind::ConnectionReset, e);
    let packed = StreamReader::new(store.read(bid, name).await?.map_err(away));
    let unpacked = ReaderStream::with_capacity(GzipDecoder::new(packed), STEP).map_err(|e| match e.kind() {
        io::ErrorKind::ConnectionReset => e,
        _ => io::Error::new(io::ErrorKind::InvalidData, e),
    });
    Ok(MboxReader::new(Box::pin(StreamReader::new(unpacked))))
}

/// A small resource.
///
/// # Errors
/// What the storage says, and what is too large.
pub async fn read_whole(store: &Store, bid: &BundleId, name: &str) -> Result<Vec<u8>, StorageError> {
    let mut stream = store.read(bid, name).await?;
    let mut whole = BytesMut::new();
    while let Some(piece) = stream.try_next().await? {
        whole.extend_from_slice(&piece);
        if whole.len() > MAX_WHOLE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large to be read whole").into());
        }
    }
    Ok(whole.to_vec())
}

/// The Message-IDs of all e-mails on the page `name`.
///
/// # Errors
/// What the storage says, and what is no page.
pub async fn ids_on(store: &Store, bid: &BundleId, name: &str) -> Result<Vec<String>, StorageError> {
    let mut page = emails(store, bid, name).await?;
    let mut ids = Vec::new();
    while let Some(email) = page.next().await? {
        ids.extend(message_id_of(&email).map(str::to_owned));
    }
    Ok(ids)
}

/// The e-mails that went to `recipient`, each once, in the order in which they were handed over.
///
/// # Errors
/// What the storage says; a broken page only where nothing was found on another one.
pub async fn of_recipient(
    store: &Store,
    dispatch: DispatchId,
    recipient: &str,
) -> Result<Vec<Vec<u8>>, StorageError> {
    let bid = BundleId::from(dispatch);
    let own = repository::message_id_left(dispatch, Channel::Email, recipient);
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut broken = None;
    for resource in store.resources(&bid).await? {
        if !is_page(&resource.name) {
            continue;
        }
        match those_with(&own, store, &bid, &resource.name).await {
            Ok(emails) => {
                for email in emails {
                    if !found.contains(&email) {
                        found.push(email);
                    }
                }
            }
            Err(StorageError::Refused(why)) => broken = Some(StorageError::Refused(why)),
            Err(error) => return Err(error),
        }
    }
    match broken {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

async fn those_with(
    id: &str,
    store: &Store,
    bid: &BundleId,
    page: &str,
) -> Result<Vec<Vec<u8>>, StorageError> {
    let mut page = emails(store, bid, page).await?;
    let mut found = Vec::new();
    while let Some(email) = page.next().await? {
        if message_id_of(&email).is_some_and(|own| own.starts_with(id)) {
            found.push(email);
        }
    }
    Ok(found)
}
