//! Resources inside `resources.zip`. It is Herald's own: everything is stored in it as it is, and described by
//! a `.meta` beside it.

use std::collections::{HashMap, HashSet};

use async_zip::base::read::seek::ZipFileReader;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::ObjectStoreExt as _;
use object_store::buffered::BufReader;
use tokio::io::AsyncReadExt as _;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};
use tokio_util::io::ReaderStream;

use super::layout::META;
use super::{BundleId, ByteStream, Resource, StorageError, Store};

/// Bytes read at once.
const STEP: usize = 256 * 1024;

/// The open file.
pub(super) type Packed = ZipFileReader<Compat<BufReader>>;

/// Opens a bundle's file, if it has one.
pub(super) async fn open(store: &Store, bid: &BundleId) -> Result<Option<Packed>, StorageError> {
    let meta = match store.objects.head(&store.layout.packed(bid)).await {
        Ok(meta) => meta,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let reader = BufReader::with_capacity(std::sync::Arc::clone(&store.objects), &meta, STEP);
    let zip = ZipFileReader::with_tokio(reader).await.map_err(unreadable)?;
    Ok(Some(zip))
}

/// What the file has, in its order.
pub(super) async fn resources(store: &Store, bid: &BundleId) -> Result<Vec<Resource>, StorageError> {
    let Some(mut zip) = open(store, bid).await? else {
        return Ok(Vec::new());
    };
    let names = names(&zip)?;
    let known: HashSet<&String> = names.iter().collect();
    let mut found = Vec::new();
    for (index, meta) in names.iter().enumerate() {
        let Some(name) = meta
            .strip_suffix(META)
            .filter(|name| known.contains(&(*name).to_owned()))
        else {
            continue;
        };
        let entry = zip.reader_without_entry(index).await.map_err(unreadable)?;
        let mut text = Vec::new();
        entry.compat().read_to_end(&mut text).await?;
        let resource: Resource = serde_json::from_slice(&text).map_err(std::io::Error::from)?;
        found.push(Resource {
            name: name.to_owned(),
            ..resource
        });
    }
    Ok(found)
}

/// The names of all entries, in order.
pub(super) fn names(zip: &Packed) -> Result<Vec<String>, StorageError> {
    let names = zip.file().entries().iter().map(|entry| entry.filename().as_str());
    let names: Result<Vec<&str>, _> = names.collect();
    Ok(names
        .map_err(unreadable)?
        .into_iter()
        .map(str::to_owned)
        .collect())
}

/// The file once it is open: its list of entries, which may be long, is read once.
pub(super) struct Open {
    zip: Packed,
    places: HashMap<String, usize>,
}

impl Open {
    /// None if there is no such file.
    pub(super) async fn of(store: &Store, bid: &BundleId) -> Result<Option<Self>, StorageError> {
        let Some(zip) = open(store, bid).await? else {
            return Ok(None);
        };
        let places = names(&zip)?.into_iter().zip(0..).collect();
        Ok(Some(Self { zip, places }))
    }

    /// One resource; one after the other.
    pub(super) async fn read(
        &mut self,
        name: &str,
    ) -> Result<BoxStream<'_, std::io::Result<Bytes>>, StorageError> {
        let place = self.places.get(name).copied();
        let place = place.ok_or_else(|| StorageError::NotThere(name.to_owned()))?;
        let entry = self.zip.reader_without_entry(place).await.map_err(unreadable)?;
        Ok(ReaderStream::with_capacity(entry.compat(), STEP).boxed())
    }
}

/// One resource.
pub(super) async fn read(store: &Store, bid: &BundleId, name: &str) -> Result<ByteStream, StorageError> {
    let not_there = || StorageError::NotThere(name.to_owned());
    let zip = open(store, bid).await?.ok_or_else(not_there)?;
    let index = names(&zip)?.iter().position(|other| other == name);
    let entry = zip
        .into_entry(index.ok_or_else(not_there)?)
        .await
        .map_err(unreadable)?;
    Ok(ReaderStream::with_capacity(entry.compat(), STEP).boxed())
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
pub(super) fn unreadable(error: async_zip::error::ZipError) -> StorageError {
    StorageError::Refused(format!("resources.zip cannot be read ({error})"))
}
