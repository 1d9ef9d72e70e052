//! Whether a bundle is what it says, and has what the ledger says: every byte by its hash, every recipient by
//! the Message-ID of an e-mail.

use std::collections::{BTreeMap, HashSet};

use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};

use super::erasing::erasures;
use super::is_page;
use super::mbox::message_id_of;
use super::reading::emails;
use crate::domain::DispatchId;
use crate::storage::{BundleId, StorageError, Store};

/// Addresses by Message-IDs.
pub type LedgerEmails = BTreeMap<String, String>;

/// Missing recipients that are named at most.
const NAMED: usize = 20;

/// What was looked at, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Resources whose hash was computed.
    pub resources: usize,
    /// Different e-mails in them.
    pub emails: usize,
    /// One sentence for each thing that is wrong.
    pub problems: Vec<String>,
}

/// Checks the bundle of `dispatch`. `handed_over`: Message-ID and address of each e-mail that the ledger says
/// was handed over; none where the ledger has forgotten the dispatch.
///
/// # Errors
/// The storage cannot be read.
pub async fn verify(
    store: &Store,
    dispatch: DispatchId,
    handed_over: Option<LedgerEmails>,
) -> Result<Findings, StorageError> {
    let bid = BundleId::from(dispatch);
    let mut found = Findings::default();
    let Some(manifest) = store.manifest(&bid).await? else {
        found
            .problems
            .push("it has no bundle.json: it is not complete".to_owned());
        return Ok(found);
    };
    let there: HashSet<String> = store.resources(&bid).await?.into_iter().map(|r| r.name).collect();
    let mut ids = HashSet::new();
    for listed in &manifest.resources {
        if !there.contains(&listed.name) {
            found.problems.push(format!("{} is missing", listed.name));
            continue;
        }
        found.resources += 1;
        match hash(store, &bid, &listed.name).await {
            Ok((sha256, size)) if sha256 == listed.sha256 && size == listed.size => {}
            Ok(_) => {
                found
                    .problems
                    .push(format!("{} is not what it was: its hash differs", listed.name));
                continue;
            }
            Err(error) => {
                found
                    .problems
                    .push(format!("{} cannot be read: {error}", listed.name));
                continue;
            }
        }
        if is_page(&listed.name) {
            let mut page = emails(store, &bid, &listed.name).await?;
            while let Some(email) = page.next().await? {
                ids.extend(message_id_of(&email).map(str::to_owned));
            }
        }
    }
    let listed: HashSet<&str> = manifest.resources.iter().map(|r| r.name.as_str()).collect();
    let mut foreign: Vec<&String> = there
        .iter()
        .filter(|name| !listed.contains(name.as_str()))
        .collect();
    foreign.sort();
    for name in foreign {
        found
            .problems
            .push(format!("{name} is not listed in bundle.json"));
    }
    found.emails = ids.len();
    if let Some(handed_over) = handed_over {
        let erased = erasures(store, &bid).await?;
        compare(&mut found, &ids, &erased.message_ids(), handed_over);
    }
    Ok(found)
}

fn compare(found: &mut Findings, ids: &HashSet<String>, erased: &HashSet<&str>, handed_over: LedgerEmails) {
    let is_missing = |id: &String| !ids.contains(id) && !erased.contains(id.as_str());
    let mut missing: Vec<String> = handed_over
        .into_iter()
        .filter(|(id, _)| is_missing(id))
        .map(|(_, recipient)| recipient)
        .collect();
    if missing.is_empty() {
        return;
    }
    missing.sort();
    let (count, named) = (missing.len(), missing[..missing.len().min(NAMED)].join(", "));
    let more = if count > NAMED { ", …" } else { "" };
    found.problems.push(format!(
        "no e-mail of {count} that the ledger says were mailed: {named}{more}"
    ));
}

async fn hash(store: &Store, bid: &BundleId, name: &str) -> Result<(String, u64), StorageError> {
    let mut stream = store.read(bid, name).await?;
    let (mut hasher, mut size) = (Sha256::new(), 0);
    while let Some(piece) = stream.try_next().await? {
        size += piece.len() as u64;
        hasher.update(&piece);
    }
    Ok((hex::encode(hasher.finalize()), size))
}
