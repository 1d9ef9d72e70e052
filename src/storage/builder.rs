//! Stacks decorators, by configuration or by hand.

use std::sync::Arc;

use super::bundler::Bundler;
use super::unzip::{Limits, Unzip};
use super::{Storage, StorageError, Store};
use crate::config::{AwsConfig, StorageConfig, StorageKind};

/// Puts a storage together: what is added first is nearest to the store.
pub struct StorageBuilder {
    storage: Arc<dyn Storage>,
    store: Option<Store>,
}

impl StorageBuilder {
    /// On a store of Herald's own.
    pub fn new(store: Store) -> Self {
        Self {
            storage: Arc::new(store.clone()),
            store: Some(store),
        }
    }

    /// On a storage of somebody else's.
    pub fn of(storage: Arc<dyn Storage>) -> Self {
        Self { storage, store: None }
    }

    /// What is gzip or zip is stored unpacked.
    #[must_use]
    pub fn unzip(self, limits: Limits) -> Self {
        Self {
            storage: Arc::new(Unzip::new(self.storage, limits)),
            store: self.store,
        }
    }

    /// All resources in one file. Where the store is not Herald's own, nothing is known of its files, and this
    /// changes nothing.
    #[must_use]
    pub fn bundler(self) -> Self {
        let Some(store) = &self.store else { return self };
        let bundler = Bundler {
            store: store.clone(),
            inner: self.storage,
        };
        Self {
            storage: Arc::new(bundler),
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
