//! An open bundle in the store itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde_json::{Map, Value};

use super::names::{distinct, name_of};
use super::writing::write;
use super::{
    BundleContext, BundleRef, ByteStream, Incoming, Listed, Manifest, Resource, StorageError, Store,
};

pub(super) struct BaseContext {
    store: Store,
    bundle: BundleRef,
    /// URLs by the names of their resources, in lower case: some file systems do not tell them apart.
    names: Mutex<HashMap<String, String>>,
}

impl BaseContext {
    pub(super) fn new(store: Store, bundle: BundleRef, known: Vec<Resource>) -> Self {
        let names = known.into_iter().map(|r| (r.name.to_lowercase(), r.url));
        Self {
            store,
            bundle,
            names: Mutex::new(names.collect()),
        }
    }

    /// The name for `url`, which no other URL of this bundle has.
    fn name(&self, prefix: &str, url: &str) -> String {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("{prefix}{}", name_of(url));
        let taken = names.get(&name.to_lowercase()).is_some_and(|other| other != url);
        let name = if taken { distinct(&name, url) } else { name };
        names.insert(name.to_lowercase(), url.to_owned());
        name
    }
}

#[async_trait]
impl BundleContext for BaseContext {
    async fn add(&self, what: Incoming, body: ByteStream) -> Result<Vec<Resource>, StorageError> {
        let name = self.name(&what.prefix, &what.url);
        let (layout, bid) = (&self.store.layout, &self.bundle.bid);
        let written = write(&self.store, &layout.resource(bid, &name), body).await?;
        let resource = Resource {
            name,
            url: what.url,
            content_type: what.content_type,
            status_code: what.status_code,
            size: written.size,
            encoding: what.encoding,
            sha256: written.sha256,
            bid: bid.to_string(),
            stored_at: (self.store.now)(),
            unzip_error: what.unzip_error,
        };
        let metas = &*self.store.metas;
        put_json(metas, &layout.meta(bid, &resource.name), &resource).await?;
        Ok(vec![resource])
    }

    async fn complete(&self, metadata: Map<String, Value>) -> Result<Manifest, StorageError> {
        let resources = self.store.resources(&self.bundle.bid).await?;
        finish(&self.store, &self.bundle, &resources, metadata).await
    }
}

/// Writes the list over everything else.
pub(super) async fn finish(
    store: &Store,
    bundle: &BundleRef,
    resources: &[Resource],
    meta: Map<String, Value>,
) -> Result<Manifest, StorageError> {
    let manifest = Manifest {
        bid: bundle.bid.to_string(),
        primary_url: bundle.primary_url.clone(),
        resources_count: resources.len() as u64,
        storage_key: store.storage_key(&bundle.bid),
        meta,
        resources: resources.iter().map(Listed::from).collect(),
    };
    store.sync(&bundle.bid, resources).await?;
    put_json(&*store.objects, &store.layout.manifest(&bundle.bid), &manifest).await?;
    store.tidy(&bundle.bid).await;
    Ok(manifest)
}

async fn put_json(
    objects: &dyn ObjectStore,
    path: &object_store::path::Path,
    value: &impl serde::Serialize,
) -> Result<(), StorageError> {
    let text = serde_json::to_vec_pretty(value).map_err(std::io::Error::from)?;
    objects.put(path, text.into()).await?;
    Ok(())
}
