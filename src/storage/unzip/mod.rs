//! Unpacks what is gzip or zip by its content, whatever it is called. What comes is spooled first and looked
//! through to its end before anything of it is stored: of a hostile or broken one nothing is, and it is kept as
//! it came, with the reason.

mod archive;
mod gzip;
mod spool;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value};

use super::{
    BundleContext, BundleRef, ByteStream, Incoming, Manifest, Recipe, Resource, Storage, StorageError,
};
use spool::Spool;

/// The first bytes of gzip with deflate (RFC 1952 2.3.1).
const GZIP: &[u8] = &[0x1f, 0x8b, 8];

/// The first bytes of a zip with something in it (APPNOTE 4.3.7).
const ZIP: &[u8] = b"PK\x03\x04";

/// How much may come out of one archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in all.
    pub bytes: u64,
    /// Times the bytes that came, once more than a MiB came out.
    pub ratio: u64,
    /// Entries of a zip.
    pub entries: usize,
}

impl Default for Limits {
    /// 4 GiB, 200 times, 10,000 entries.
    fn default() -> Self {
        Self {
            bytes: 4 << 30,
            ratio: 200,
            entries: 10_000,
        }
    }
}

impl Limits {
    /// Below this the ratio does not matter: what compresses well is often short.
    const SMALL: u64 = 1 << 20;

    /// Why `out` bytes out of `packed` are too many.
    fn exceeded(&self, packed: u64, out: u64) -> Option<String> {
        if out > self.bytes {
            return Some(format!("unpacked it has more than {} bytes", self.bytes));
        }
        let much = out > Self::SMALL && out / packed.max(1) > self.ratio;
        much.then(|| format!("unpacked it has more than {} times its size", self.ratio))
    }
}

/// The decorator.
pub(super) struct Unzip {
    inner: Arc<dyn Storage>,
    limits: Limits,
}

impl Unzip {
    pub(super) fn new(inner: Arc<dyn Storage>, limits: Limits) -> Self {
        Self { inner, limits }
    }
}

#[async_trait]
impl Storage for Unzip {
    async fn start_bundle(
        &self,
        bundle: &BundleRef,
        recipe: &Recipe,
    ) -> Result<Box<dyn BundleContext>, StorageError> {
        Ok(Box::new(Unzipping {
            inner: self.inner.start_bundle(bundle, recipe).await?,
            limits: self.limits,
        }))
    }
}

struct Unzipping {
    inner: Box<dyn BundleContext>,
    limits: Limits,
}

#[async_trait]
impl BundleContext for Unzipping {
    async fn add(&self, what: Incoming, body: ByteStream) -> Result<Vec<Resource>, StorageError> {
        let (start, body) = peek(body).await?;
        let is_gzip = start.starts_with(GZIP);
        if !is_gzip && !start.starts_with(ZIP) {
            return self.inner.add(what, body).await;
        }
        let spool = Spool::fill(body).await?;
        let unpacked = if is_gzip {
            gzip::unpack(&*self.inner, &what, &spool, self.limits).await
        } else {
            archive::unpack(&*self.inner, &what, &spool, self.limits).await
        };
        match unpacked {
            Err(StorageError::Refused(why)) => {
                tracing::warn!(url = without_query(&what.url), why, "kept as it came");
                let raw = Incoming {
                    unzip_error: Some(why),
                    ..what
                };
                self.inner.add(raw, spool.stream().await?).await
            }
            done => done,
        }
    }

    async fn complete(&self, metadata: Map<String, Value>) -> Result<Manifest, StorageError> {
        self.inner.complete(metadata).await
    }
}

/// The first bytes, and all of them again.
async fn peek(mut body: ByteStream) -> Result<(Vec<u8>, ByteStream), StorageError> {
    let (mut pieces, mut start): (Vec<Bytes>, Vec<u8>) = (Vec::new(), Vec::new());
    while start.len() < ZIP.len() {
        let Some(piece) = body.try_next().await? else {
            break;
        };
        start.extend_from_slice(&piece[..piece.len().min(ZIP.len())]);
        pieces.push(piece);
    }
    let again = stream::iter(pieces.into_iter().map(Ok)).chain(body);
    Ok((start, again.boxed()))
}

/// What a URL asks for may be a secret.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}
