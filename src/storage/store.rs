//! A folder, a bucket or memory, by one way: what is written is written whole and synced, or not at all.

use std::collections::HashSet;
use std::fmt;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt as _, RetryConfig};

use super::context::BaseContext;
use super::credentials::credentials;
use super::folder::Folder;
use super::layout::{Layout, META};
use super::{
    BundleContext, BundleId, BundleRef, ByteStream, Manifest, Recipe, Resource, Storage, StorageError, packed,
};
use crate::config::AwsConfig;

/// For one request, and for all tries of it.
const REQUEST: Duration = Duration::from_secs(30);

/// Metas read at once.
const AT_ONCE: usize = 32;

/// Largest manifest or meta, in bytes.
const MAX_TEXT: u64 = 256 * 1024 * 1024;

/// Where bundles are; cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(super) objects: Arc<dyn ObjectStore>,
    /// The same for what describes resources: on disk it is synced only before the list is written, as without
    /// its description a resource is none.
    pub(super) metas: Arc<dyn ObjectStore>,
    pub(super) layout: Layout,
    /// Where it is one on disk.
    folder: Option<Folder>,
    /// When something is stored.
    pub(super) now: fn() -> DateTime<Utc>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Below this folder, which is created if there is none: what was written is synced before it has
    /// its name.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn file(folder: &FilePath) -> Result<Self, StorageError> {
        let unusable = |e: std::io::Error| {
            StorageError::Configuration(format!("{} cannot be used ({e})", folder.display()))
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(unusable)?;
        let metas = LocalFileSystem::new_with_prefix(folder)?.with_automatic_cleanup(true);
        Ok(Self {
            objects: Arc::new(metas.clone().with_fsync(true)),
            metas: Arc::new(metas),
            layout: Layout::Folder,
            folder: Some(Folder(folder.to_owned())),
            now: Utc::now,
        })
    }

    /// In a bucket.
    ///
    /// # Errors
    /// What is configured cannot be used.
    pub fn s3(bucket: &str, prefix: &str, config: &AwsConfig) -> Result<Self, StorageError> {
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 3,
            retry_timeout: REQUEST,
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&config.region)
            .with_retry(retry)
            .with_client_options(ClientOptions::new().with_timeout(REQUEST).with_allow_http(true))
            .with_credentials(credentials(config));
        if let Some(endpoint) = &config.endpoint {
            builder = builder
                .with_endpoint(endpoint.as_str().trim_end_matches('/'))
                .with_virtual_hosted_style_request(false);
        }
        let objects = Arc::new(builder.build()?);
        Ok(Self {
            objects: Arc::clone(&objects) as Arc<dyn ObjectStore>,
            metas: objects,
            layout: Layout::Keys(prefix.to_owned()),
            folder: None,
            now: Utc::now,
        })
    }

    /// In memory, for as long as somebody has it.
    pub fn memory() -> Self {
        let objects = Arc::new(InMemory::new());
        Self {
            objects: Arc::clone(&objects) as Arc<dyn ObjectStore>,
            metas: objects,
            layout: Layout::Keys(String::new()),
            folder: None,
            now: Utc::now,
        }
    }

    /// Where the resources of a bundle are.
    pub fn storage_key(&self, bid: &BundleId) -> String {
        self.layout.resources(bid)
    }

    /// The bundle's list, if it is complete.
    ///
    /// # Errors
    /// The storage cannot be read, or what is there is no list.
    pub async fn manifest(&self, bid: &BundleId) -> Result<Option<Manifest>, StorageError> {
        self.json(&self.layout.manifest(bid)).await
    }

    /// What a bundle has, by name, whether it is complete or not.
    ///
    /// # Errors
    /// The storage cannot be read.
    pub async fn resources(&self, bid: &BundleId) -> Result<Vec<Resource>, StorageError> {
        let mut all = packed::resources(self, bid).await?;
        let loose = self.loose(bid).await?;
        let newer: HashSet<&str> = loose.iter().map(|resource| resource.name.as_str()).collect();
        all.retain(|packed| !newer.contains(packed.name.as_str()));
        all.extend(loose);
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The names of those that have a file of their own and are described.
    pub(crate) async fn names(&self, bid: &BundleId) -> Result<Vec<String>, StorageError> {
        let folder = Path::from(self.layout.resources(bid));
        let listed = self.objects.list(Some(&folder));
        let all: HashSet<String> = listed
            .try_filter_map(|object| async move { Ok(object.location.filename().map(str::to_owned)) })
            .try_collect()
            .await?;
        let described = all.iter().filter_map(|name| name.strip_suffix(META));
        let there = described.filter(|name| all.contains(*name));
        Ok(there.map(str::to_owned).collect())
    }

    /// Those with a file of their own.
    pub(super) async fn loose(&self, bid: &BundleId) -> Result<Vec<Resource>, StorageError> {
        let metas = self.names(bid).await?.into_iter().map(|name| {
            let path = self.layout.meta(bid, &name);
            async move {
                match self.json::<Resource>(&path).await {
                    Ok(found) => Ok(found.map(|resource| Resource { name, ..resource })),
                    // What describes nothing is as good as missing.
                    Err(StorageError::Refused(why)) => {
                        tracing::warn!(why, "a stored resource is not described");
                        Ok(None)
                    }
                    Err(error) => Err(error),
                }
            }
        });
        let metas: Vec<_> = metas.collect();
        let found: Vec<Option<Resource>> = stream::iter(metas).buffered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// A resource's bytes as they are stored.
    ///
    /// # Errors
    /// It is not there, or the storage cannot be read.
    pub async fn read(&self, bid: &BundleId, name: &str) -> Result<ByteStream, StorageError> {
        // What has no description is what a crash left, and may stand before an older one that is whole.
        match self.objects.head(&self.layout.meta(bid, name)).await {
            Ok(_) => {}
            Err(object_store::Error::NotFound { .. }) => return packed::read(self, bid, name).await,
            Err(error) => return Err(error.into()),
        }
        let found = self.objects.get(&self.layout.resource(bid, name)).await?;
        Ok(found.into_stream().map_err(std::io::Error::from).boxed())
    }

    /// Removes a resource that has a file of its own: first what describes it, so that half of it is nothing.
    ///
    /// # Errors
    /// The storage does not do it.
    pub async fn remove(&self, bid: &BundleId, name: &str) -> Result<(), StorageError> {
        for path in [self.layout.meta(bid, name), self.layout.resource(bid, name)] {
            match self.objects.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Sees to it that what describes these resources outlasts a failure of power.
    pub(super) async fn sync(&self, bid: &BundleId, resources: &[Resource]) -> Result<(), StorageError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let metas = resources
            .iter()
            .map(|resource| format!("{}{META}", resource.name));
        folder.sync(&self.layout.resources(bid), metas.collect()).await
    }

    /// Removes what a crash left of resources that were being written.
    pub async fn tidy(&self, bid: &BundleId) {
        if let Some(folder) = &self.folder {
            folder.tidy(&self.layout.resources(bid)).await;
        }
    }

    /// Removes a bundle, its list first.
    ///
    /// # Errors
    /// The storage does not do it.
    pub async fn remove_bundle(&self, bid: &BundleId) -> Result<(), StorageError> {
        let _ = self.objects.delete(&self.layout.manifest(bid)).await;
        let all: Vec<_> = self
            .objects
            .list(Some(&self.layout.bundle(bid)))
            .try_collect()
            .await?;
        for object in all {
            self.objects.delete(&object.location).await?;
        }
        Ok(())
    }

    /// All bundles that there are.
    ///
    /// # Errors
    /// The storage cannot be read.
    pub async fn bundles(&self) -> Result<Vec<BundleId>, StorageError> {
        let (parent, start) = self.layout.bundles();
        let found = self.objects.list_with_delimiter(parent.as_ref()).await?;
        let names = found.common_prefixes.iter().filter_map(|path| path.filename());
        let mut bids: Vec<BundleId> = names
            .filter_map(|name| name.strip_prefix(start)?.parse().ok())
            .collect();
        bids.sort();
        Ok(bids)
    }

    pub(super) async fn json<T: serde::de::DeserializeOwned>(
        &self,
        path: &Path,
    ) -> Result<Option<T>, StorageError> {
        let found = match self.objects.get(path).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if found.meta.size > MAX_TEXT {
            return Err(StorageError::Refused(format!("{path} is too large")));
        }
        let text = found.bytes().await?;
        let read = serde_json::from_slice(&text);
        read.map(Some)
            .map_err(|e| StorageError::Refused(format!("{path} cannot be read: {e}")))
    }
}

#[async_trait]
impl Storage for Store {
    async fn start_bundle(
        &self,
        bundle: &BundleRef,
        _: &Recipe,
    ) -> Result<Box<dyn BundleContext>, StorageError> {
        if let Some(folder) = &self.folder {
            folder.prepare(&self.layout.resources(&bundle.bid)).await?;
        }
        let known = self.resources(&bundle.bid).await?;
        Ok(Box::new(BaseContext::new(self.clone(), bundle.clone(), known)))
    }
}
