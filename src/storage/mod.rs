//! Bundles: named resources with their hashes, in a folder or in S3.
//!
//! Guarantee: a resource is there whole or not at all; a bundle with a `bundle.json` has everything that it
//! lists. Whatever its size, a resource passes through in constant memory.
//!
//! ```
//! # tokio_test_block_on(async {
//! use bytes::Bytes;
//! use futures_util::{StreamExt, stream};
//! use herald::storage::{BundleRef, Recipe, Storage, StorageBuilder, Store};
//!
//! let store = Store::memory();
//! let storage = StorageBuilder::new(store.clone()).unzip(Default::default()).build();
//! let bundle = BundleRef {
//!     bid: "42".parse()?,
//!     primary_url: "https://example.com/".into(),
//! };
//! let context = storage.start_bundle(&bundle, &Recipe { id: "crawl".into() }).await?;
//! let body = stream::once(async { Ok(Bytes::from_static(b"<html>")) }).boxed();
//! context.add_resource("https://example.com/index.html", "text/html", 200, body).await?;
//! let manifest = context.complete(Default::default()).await?;
//! assert_eq!(manifest.resources_count, 1);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # });
//! # fn tokio_test_block_on<T, E: std::fmt::Debug>(f: impl Future<Output = Result<T, E>>) {
//! #     tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f).unwrap();
//! # }
//! ```
//!
//! A storage of one's own is a [`Storage`] like any other, and decorators stack on it:
//!
//! ```
//! use async_trait::async_trait;
//! use herald::storage::{BundleContext, BundleRef, Recipe, Storage, StorageBuilder, StorageError, Store};
//!
//! /// Says what begins, and leaves the rest to another one.
//! struct Loud(Store);
//!
//! #[async_trait]
//! impl Storage for Loud {
//!     async fn start_bundle(
//!         &self,
//!         bundle: &BundleRef,
//!         recipe: &Recipe,
//!     ) -> Result<Box<dyn BundleContext>, StorageError> {
//!         println!("{} begins", bundle.bid);
//!         self.0.start_bundle(bundle, recipe).await
//!     }
//! }
//!
//! let storage = StorageBuilder::of(std::sync::Arc::new(Loud(Store::memory()))).build();
//! # let _ = storage;
//! ```

mod builder;
mod bundler;
mod context;
mod credentials;
mod error;
mod folder;
mod ids;
mod layout;
mod names;
mod packed;
mod probe;
mod resource;
mod store;
#[cfg(test)]
mod tests;
mod unzip;
mod writing;

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde_json::{Map, Value};

pub use builder::{Configured, StorageBuilder, from_config};
pub use error::StorageError;
pub use ids::{BundleId, BundleIdError, BundleRef, Recipe};
pub use resource::{Incoming, Listed, Manifest, Resource};
pub use store::Store;
pub use unzip::Limits;

/// A resource on its way.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// Where bundles go.
#[async_trait]
pub trait Storage: Send + Sync {
    /// Begins a bundle, or goes on with one that is there.
    async fn start_bundle(
        &self,
        bundle: &BundleRef,
        recipe: &Recipe,
    ) -> Result<Box<dyn BundleContext>, StorageError>;
}

/// A bundle that is open.
#[async_trait]
pub trait BundleContext: Send + Sync {
    /// Adds a resource; the same URL again replaces it. A decorator may make several of one. Calls may run
    /// beside each other.
    async fn add(&self, what: Incoming, body: ByteStream) -> Result<Vec<Resource>, StorageError>;

    /// Writes `bundle.json` over all resources; again whenever more have come.
    async fn complete(&self, metadata: Map<String, Value>) -> Result<Manifest, StorageError>;

    /// Adds a resource that is as it came.
    async fn add_resource(
        &self,
        url: &str,
        content_type: &str,
        status_code: u16,
        body: ByteStream,
    ) -> Result<Vec<Resource>, StorageError> {
        self.add(Incoming::new(url, content_type, status_code), body)
            .await
    }
}
