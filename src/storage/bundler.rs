//! Packs a bundle into one file. While it is open, resources have files of their own, so that a crash costs
//! nothing; completing it writes a new `resources.zip` whole, then the list, and then removes what is inside
//! now. Done again after a crash anywhere between, it gives the same.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use async_zip::base::write::ZipFileWriter;
use async_zip::{Compression, ZipEntryBuilder};
use futures_util::TryStreamExt;
use futures_util::io::AsyncWriteExt as _;
use object_store::buffered::BufWriter;
use serde_json::{Map, Value};
use tokio::io::AsyncWriteExt as _;
use tokio_util::compat::Compat;

use super::context::finish;
use super::layout::META;
use super::{
    BundleContext, BundleId, BundleRef, ByteStream, Incoming, Manifest, Recipe, Resource, Storage,
    StorageError, Store, packed,
};
use crate::failpoint;

/// Bytes that are held until they are written in parts.
const BUFFER: usize = 8 * 1024 * 1024;

type Writer = ZipFileWriter<Compat<BufWriter>>;

/// Makes one file of what is stored in `store`, by way of `inner`.
pub(super) struct Bundler {
    pub(super) store: Store,
    pub(super) inner: Arc<dyn Storage>,
}

#[async_trait]
impl Storage for Bundler {
    async fn start_bundle(
        &self,
        bundle: &BundleRef,
        recipe: &Recipe,
    ) -> Result<Box<dyn BundleContext>, StorageError> {
        Ok(Box::new(Bundling {
            store: self.store.clone(),
            bundle: bundle.clone(),
            inner: self.inner.start_bundle(bundle, recipe).await?,
        }))
    }
}

struct Bundling {
    store: Store,
    bundle: BundleRef,
    inner: Box<dyn BundleContext>,
}

#[async_trait]
impl BundleContext for Bundling {
    async fn add(&self, what: Incoming, body: ByteStream) -> Result<Vec<Resource>, StorageError> {
        self.inner.add(what, body).await
    }

    async fn complete(&self, metadata: Map<String, Value>) -> Result<Manifest, StorageError> {
        let (store, bid) = (&self.store, &self.bundle.bid);
        let loose = store.loose(bid).await?;
        let resources = store.resources(bid).await?;
        if !loose.is_empty() {
            let loose = loose.iter().map(|resource| resource.name.as_str()).collect();
            pack(store, &self.bundle, &resources, &loose).await?;
        }
        failpoint::reached("bundler-packed");
        let manifest = finish(store, &self.bundle, &resources, metadata).await?;
        failpoint::reached("bundler-listed");
        let there: HashSet<&str> = resources.iter().map(|r| r.name.as_str()).collect();
        for resource in loose.iter().filter(|r| there.contains(r.name.as_str())) {
            store.remove(bid, &resource.name).await?;
            failpoint::reached("bundler-removed");
        }
        Ok(manifest)
    }
}

/// Writes all resources into one new file, wherever each of them is now.
async fn pack(
    store: &Store,
    bundle: &BundleRef,
    resources: &[Resource],
    loose: &HashSet<&str>,
) -> Result<(), StorageError> {
    let (objects, path) = (Arc::clone(&store.objects), store.layout.packed(&bundle.bid));
    let out = BufWriter::with_capacity(objects, path, BUFFER).with_max_concurrency(2);
    let mut zip: Writer = ZipFileWriter::with_tokio(out);
    let filled = fill(&mut zip, store, &bundle.bid, resources, loose).await;
    let out = zip.close().await.map_err(unwritten);
    match (filled, out) {
        // Only now it has its name.
        (Ok(()), Ok(out)) => Ok(out.into_inner().shutdown().await?),
        (Err(error), Ok(out)) => {
            // Parts that are not put together cost money and are seen by nobody.
            let _ = out.into_inner().abort().await;
            Err(error)
        }
        (Err(error), Err(_)) | (Ok(()), Err(error)) => Err(error),
    }
}

async fn fill(
    zip: &mut Writer,
    store: &Store,
    bid: &BundleId,
    resources: &[Resource],
    loose: &HashSet<&str>,
) -> Result<(), StorageError> {
    let mut packed = packed::Open::of(store, bid).await?;
    for resource in resources {
        let entry = ZipEntryBuilder::new(resource.name.clone().into(), Compression::Stored);
        let mut writer = zip.write_entry_stream(entry).await.map_err(unwritten)?;
        let mut body = match &mut packed {
            Some(packed) if !loose.contains(resource.name.as_str()) => packed.read(&resource.name).await?,
            _ => store.read(bid, &resource.name).await?,
        };
        while let Some(piece) = body.try_next().await? {
            writer.write_all(&piece).await?;
        }
        drop(body);
        writer.close().await.map_err(unwritten)?;
        let text = serde_json::to_vec_pretty(resource).map_err(std::io::Error::from)?;
        let name = format!("{}{META}", resource.name);
        let entry = ZipEntryBuilder::new(name.into(), Compression::Stored);
        zip.write_entry_whole(entry, &text).await.map_err(unwritten)?;
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn unwritten(error: async_zip::error::ZipError) -> StorageError {
    StorageError::Passing(format!("resources.zip was not written ({error})"))
}
