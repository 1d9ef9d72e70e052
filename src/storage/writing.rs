//! Writes a stream under its name when all of it is there: small ones at once, large ones in parts.

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload, WriteMultipart};
use sha2::{Digest, Sha256};

use super::{ByteStream, StorageError, Store};
use crate::domain::one_line;

/// Bytes of a part, and what is written without parts.
const PART: usize = 8 * 1024 * 1024;

/// Parts under way at once.
const AT_ONCE: usize = 2;

/// What was written.
pub(super) struct Written {
    pub(super) size: u64,
    pub(super) sha256: String,
}

/// Writes all of `body` to `path`; after an error nothing of it is there.
pub(super) async fn write(store: &Store, path: &Path, mut body: ByteStream) -> Result<Written, StorageError> {
    let (mut hasher, mut size) = (Sha256::new(), 0_u64);
    let (mut small, mut gathered): (Vec<Bytes>, usize) = (Vec::new(), 0);
    let mut large: Option<WriteMultipart> = None;
    loop {
        let piece = match body.try_next().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(error) => {
                abort(large).await;
                // Whatever ended it, what came may come whole another time.
                return Err(StorageError::Passing(one_line(&error.to_string(), 300)));
            }
        };
        hasher.update(&piece);
        size += piece.len() as u64;
        if let Some(parts) = &mut large {
            parts.put(piece);
            if let Err(error) = parts.wait_for_capacity(AT_ONCE).await {
                abort(large).await;
                return Err(error.into());
            }
            continue;
        }
        gathered += piece.len();
        small.push(piece);
        if gathered > PART {
            let upload = store.objects.put_multipart(path).await?;
            let mut parts = WriteMultipart::new_with_chunk_size(upload, PART);
            small.drain(..).for_each(|piece| parts.put(piece));
            large = Some(parts);
        }
    }
    match large {
        Some(parts) => parts.finish().await?,
        None => store.objects.put(path, PutPayload::from_iter(small)).await?,
    };
    Ok(Written {
        size,
        sha256: hex::encode(hasher.finalize()),
    })
}

async fn abort(large: Option<WriteMultipart>) {
    if let Some(parts) = large
        && let Err(error) = parts.abort().await
    {
        tracing::debug!(%error, "parts of a resource that was given up stay behind");
    }
}
