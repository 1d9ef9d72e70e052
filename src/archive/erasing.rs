//! Removes a person's e-mails from a bundle, and writes down that it did. What is erased is first recorded and
//! then removed: a crash between leaves something to erase again, never something missing without a reason.

use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt, stream};

use super::erasure::{Erasure, Erasures};
use super::mbox::{message_id_of, write_email};
use super::reading::{emails, read_whole};
use super::{ERASURES, LEVEL, MBOX_GZIP, OUTCOME, REQUEST, is_page, url};
use crate::domain::{Channel, DispatchId, EmailAddress};
use crate::message::{self, Message};
use crate::repository;
use crate::storage::{BundleContext, BundleId, BundleRef, Recipe, Storage, StorageError, Store};

/// What an erasure found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// E-mails that are gone.
    pub emails: usize,
    /// Pages that were written anew.
    pub pages: usize,
    /// Whether the request named the person.
    pub request: bool,
}

/// Removes what went to `recipient` from the bundle of `dispatch`.
///
/// # Errors
/// What the storage says; doing it again goes on where it ended.
pub async fn erase(
    (store, storage): (&Store, &dyn Storage),
    dispatch: DispatchId,
    recipient: &EmailAddress,
    now: DateTime<Utc>,
) -> Result<Erased, StorageError> {
    let bid = BundleId::from(dispatch);
    store.tidy(&bid).await;
    let manifest = store.manifest(&bid).await?;
    let own = repository::message_id_left(dispatch, Channel::Email, recipient.as_str());
    let pages = pages_of(store, &bid, &own).await?;
    let request = names(store, &bid, recipient).await?;
    let mut erased = Erased {
        emails: pages.iter().map(|page| page.hits).sum(),
        pages: pages.len(),
        request,
    };
    if erased == Erased::default() {
        return Ok(erased);
    }
    let bundle = BundleRef {
        bid: bid.clone(),
        primary_url: manifest
            .as_ref()
            .map_or_else(|| url(dispatch, ""), |manifest| manifest.primary_url.clone()),
    };
    let recipe = Recipe {
        id: "herald.erasure".to_owned(),
    };
    let context = storage.start_bundle(&bundle, &recipe).await?;
    let mut erasures = erasures(store, &bid).await?;
    let mut message_ids: Vec<String> = pages.iter().flat_map(|page| page.message_ids.clone()).collect();
    message_ids.sort();
    message_ids.dedup();
    erasures.erasures.push(Erasure {
        at: now,
        message_ids,
        request,
    });
    put_json(&*context, dispatch, ERASURES, &erasures).await?;
    for page in &pages {
        rewrite(store, &*context, dispatch, page, &own).await?;
    }
    if request {
        let gone = serde_json::json!({"erased_at": now});
        put_json(&*context, dispatch, REQUEST, &gone).await?;
    }
    if let Some(manifest) = manifest {
        context.complete(manifest.meta).await?;
    }
    erased.request = request;
    Ok(erased)
}

/// What was erased from a bundle before.
pub(super) async fn erasures(store: &Store, bid: &BundleId) -> Result<Erasures, StorageError> {
    let there = store.resources(bid).await?.iter().any(|r| r.name == ERASURES);
    if !there {
        return Ok(Erasures::default());
    }
    let text = read_whole(store, bid, ERASURES).await?;
    serde_json::from_slice(&text).map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e).into())
}

/// A page that has something of the person.
struct Hit {
    name: String,
    hits: usize,
    message_ids: Vec<String>,
}

async fn pages_of(store: &Store, bid: &BundleId, own: &str) -> Result<Vec<Hit>, StorageError> {
    let mut pages = Vec::new();
    for resource in store.resources(bid).await? {
        if !is_page(&resource.name) {
            continue;
        }
        let mut page = emails(store, bid, &resource.name).await?;
        let mut message_ids = Vec::new();
        while let Some(email) = page.next().await? {
            let id = message_id_of(&email).filter(|id| id.starts_with(own));
            message_ids.extend(id.map(str::to_owned));
        }
        if !message_ids.is_empty() {
            pages.push(Hit {
                name: resource.name,
                hits: message_ids.len(),
                message_ids,
            });
        }
    }
    Ok(pages)
}

/// Whether the request is an order of this very address: another one that looks like it is somebody else.
async fn names(store: &Store, bid: &BundleId, recipient: &EmailAddress) -> Result<bool, StorageError> {
    let there = store.resources(bid).await?.iter().any(|r| r.name == REQUEST);
    if !there {
        return Ok(false);
    }
    let request = read_whole(store, bid, REQUEST).await?;
    Ok(matches!(message::parse(&request), Ok(Message::Order(order)) if order.customer.email == *recipient))
}

/// Writes a page anew, without what is the person's.
async fn rewrite(
    store: &Store,
    context: &dyn BundleContext,
    dispatch: DispatchId,
    page: &Hit,
    own: &str,
) -> Result<(), StorageError> {
    let mut reader = emails(store, &BundleId::from(dispatch), &page.name).await?;
    let mut packed = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
    while let Some(email) = reader.next().await? {
        if !message_id_of(&email).is_some_and(|id| id.starts_with(own)) {
            write_email(&mut packed, "herald", DateTime::UNIX_EPOCH, &[&email])?;
        }
    }
    let bytes = bytes::Bytes::from(packed.finish()?);
    let body = stream::once(async move { Ok(bytes) }).boxed();
    context
        .add_resource(&url(dispatch, &page.name), MBOX_GZIP, 200, body)
        .await?;
    Ok(())
}

async fn put_json(
    context: &dyn BundleContext,
    dispatch: DispatchId,
    name: &str,
    value: &impl serde::Serialize,
) -> Result<(), StorageError> {
    debug_assert_ne!(name, OUTCOME, "that is the finaliser's");
    let text = serde_json::to_vec_pretty(value).map_err(std::io::Error::from)?;
    let body = stream::once(async move { Ok(bytes::Bytes::from(text)) }).boxed();
    context
        .add_resource(&url(dispatch, name), "application/json", 200, body)
        .await?;
    Ok(())
}
