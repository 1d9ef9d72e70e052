//! Stacks decorators, by configuration or by hand.

use std::sync::Arc;

use super::bundler::Bundler;
use super::unzip::{Limits, Unzip};
use super::{Storage, StorageError, Store};
use crate::config::{AwsConfig, StorageConfig, StorageKind};

/// Puts a storage together: what is added first is nearest to the store. `S`: the store, where it is one of
/// Herald's own.
pub struct StorageBuilder<S = Store> {
    storage: Arc<dyn Storage>,
    store: S,
}

impl StorageBuilder<()> {
    /// On a storage of somebody else's.
    pub fn of(storage: Arc<dyn Storage>) -> Self {
        Self { storage, store: () }
    }
}

impl StorageBuilder {
    /// On a store of Herald's own.
    pub fn new(store: Store) -> Self {
        Self {
            storage: Arc::new(store.clone()),
            store,
        }
    }

    /// All resources in one file. Only of a store of Herald's own is it known what files it has.
    #[must_use]
    pub fn bundler(self) -> Self {
        let bundler = Bundler {
            store: self.store.clone(),
            inner: self.storage,
        };
        Self {
            storage: Arc::new(bundler),
            store: self.store,
        }
    }
}

impl<S> StorageBuilder<S> {
    /// What is gzip or zip is stored unpacked.
    #[must_use]
    pub fn unzip(self, limits: Limits) -> Self {
        Self {
            storage: Arc::new(Unzip::new(self.storage, limits)),
            store: self.store,
        }
    }

    /// All of it.
    pub fn build(self) -> Arc<dyn Storage> {
        self.storage
    }
}

/// A store, and the way into it with all decorators.
pub type Configured = (Store, Arc<dyn Storage>);

/// The store that is configured, and the way into it with all decorators; none where nothing is to be kept.
///
/// # Errors
/// What is configured cannot be used.
pub fn from_config(config: &StorageConfig, aws: &AwsConfig) -> Result<Option<Configured>, StorageError> {
    let store = match &config.kind {
        StorageKind::None => return Ok(None),
        StorageKind::File(folder) => Store::file(folder)?,
        StorageKind::S3 { bucket, prefix } => Store::s3(bucket, prefix, aws)?,
    };
    let mut builder = StorageBuilder::new(store.clone());
    if config.bundler {
        builder = builder.bundler();
    }
    if config.unzip {
        builder = builder.unzip(Limits::default());
    }
    Ok(Some((store, builder.build())))
}
