//! The files that went out with a dispatch's e-mails, in its bundle: as they came, unpacked where they are
//! archives, and as they were sent. Which is which is written last: without it none of them counts.

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::reading::read_whole;
use super::{ATTACHMENTS, url};
use crate::attachment::Fetched;
use crate::domain::DispatchId;
use crate::mailer::Attached;
use crate::storage::{BundleId, BundleRef, ByteStream, Incoming, Recipe, Storage, StorageError, Store};

/// A line of `attachments.json`.
#[derive(Serialize, Deserialize)]
struct Sent {
    name: String,
    url: String,
    /// Where it is as it was sent.
    resource: String,
    sha256: String,
}

/// Keeps `files`, by way of `unpacking` as they came, by way of `plain` as they were sent.
///
/// # Errors
/// What the storage says.
pub async fn keep_files(
    (unpacking, plain): (&dyn Storage, &dyn Storage),
    dispatch: DispatchId,
    files: &[Fetched],
) -> Result<(), StorageError> {
    let bundle = BundleRef {
        bid: dispatch.into(),
        primary_url: url(dispatch, ""),
    };
    let recipe = Recipe {
        id: "herald.emails".to_owned(),
    };
    let opened = unpacking.start_bundle(&bundle, &recipe).await?;
    let as_it_is = plain.start_bundle(&bundle, &recipe).await?;
    let mut list = Vec::with_capacity(files.len());
    for (number, file) in (1..).zip(files) {
        let what = Incoming {
            // A foreign name is never taken for one of Herald's own.
            prefix: format!("attachment-{number}-"),
            ..Incoming::new(file.wanted.url.as_str(), &file.content_type, 200)
        };
        let made = opened.add(what, once(file.came.clone())).await?;
        let sha256 = hash(&file.sent);
        let resource = match made.as_slice() {
            [one] if one.sha256 == sha256 => one.name.clone(),
            _ => {
                let url = url(dispatch, &format!("attached-{number}"));
                let body = once(file.sent.clone());
                let made = as_it_is.add_resource(&url, &file.content_type, 200, body).await?;
                made.first().map(|one| one.name.clone()).unwrap_or_default()
            }
        };
        list.push(Sent {
            name: file.wanted.name.clone(),
            url: file.wanted.url.to_string(),
            resource,
            sha256,
        });
    }
    let text = serde_json::to_vec_pretty(&list).map_err(std::io::Error::from)?;
    let url = url(dispatch, ATTACHMENTS);
    as_it_is
        .add_resource(&url, "application/json", 200, once(text.into()))
        .await?;
    Ok(())
}

/// The files of a dispatch as they were sent, if they are kept.
///
/// # Errors
/// What the storage says, and files that are not what they were.
pub async fn kept_files(store: &Store, dispatch: DispatchId) -> Result<Option<Vec<Attached>>, StorageError> {
    let bid = BundleId::from(dispatch);
    if !store.resources(&bid).await?.iter().any(|r| r.name == ATTACHMENTS) {
        return Ok(None);
    }
    let text = read_whole(store, &bid, ATTACHMENTS).await?;
    let list: Vec<Sent> = serde_json::from_slice(&text).map_err(std::io::Error::from)?;
    let mut files = Vec::with_capacity(list.len());
    for sent in list {
        let bytes = read_whole(store, &bid, &sent.resource).await?;
        if hash(&bytes) != sent.sha256 {
            let why = format!("{} is not what was sent", sent.resource);
            return Err(StorageError::Refused(why));
        }
        files.push(Attached {
            name: sent.name,
            bytes: bytes.into(),
        });
    }
    Ok(Some(files))
}

fn once(bytes: Bytes) -> ByteStream {
    stream::once(async move { Ok(bytes) }.boxed()).boxed()
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
