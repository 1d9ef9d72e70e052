//! `herald archive`: looks into what was kept, proves it, and removes a person from it.

use std::io::Write as _;

use super::arguments::Archive;
use super::progress::Progress;
use super::{CLOCK, Failure, load_config, open_database, quiet_logs, stored};
use crate::archive;
use crate::domain::{DispatchId, EmailAddress};
use crate::processor::Archiving;
use crate::repository::{self, Database};
use crate::storage::{BundleId, StorageError};

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Failed(error.to_string())
    }
}

pub(super) async fn archive(what: Archive) -> Result<(), Failure> {
    let config = load_config()?;
    let _guard = quiet_logs(&config.log)?;
    let Some(archiving) = stored(&config, &Database::new(&config.database)?)? else {
        return Err(Failure::Usage(
            "OC_STORAGE_TYPE is none: nothing is kept, so there is no archive".into(),
        ));
    };
    match what {
        Archive::Show {
            dispatch,
            recipient,
            json,
        } => match recipient {
            Some(recipient) => show(&archiving, dispatch, &recipient).await,
            None => list(&archiving, dispatch, json).await,
        },
        Archive::Verify { dispatch, json } => {
            let db = open_database(&config).await?;
            verify(&archiving, &db, dispatch, json).await
        }
        Archive::Erase { recipient, json } => erase(&archiving, &recipient, json).await,
    }
}

/// The e-mail, byte for byte; of several the later ones follow.
async fn show(archiving: &Archiving, dispatch: DispatchId, recipient: &EmailAddress) -> Result<(), Failure> {
    let found = archive::of_recipient(&archiving.store, dispatch, recipient.as_str()).await?;
    if found.is_empty() {
        return Err(Failure::Failed(format!(
            "the bundle of {dispatch} has no e-mail to {recipient}"
        )));
    }
    let mut out = std::io::stdout().lock();
    for email in found {
        out.write_all(&email)
            .map_err(|e| Failure::Failed(e.to_string()))?;
    }
    Ok(())
}

async fn list(archiving: &Archiving, dispatch: DispatchId, json: bool) -> Result<(), Failure> {
    let bid = BundleId::from(dispatch);
    let manifest = archiving.store.manifest(&bid).await?;
    let resources = archiving.store.resources(&bid).await?;
    if manifest.is_none() && resources.is_empty() {
        return Err(Failure::Failed(format!("there is no bundle of {dispatch}")));
    }
    if json {
        let shown = serde_json::json!({"bundle": manifest, "resources": resources});
        println!("{shown}");
        return Ok(());
    }
    let state = match &manifest {
        Some(_) => "complete",
        None => "incomplete: no bundle.json",
    };
    println!("{} ({state})", archiving.store.storage_key(&bid));
    for resource in resources {
        println!("{:>12}  {}  {}", resource.size, resource.sha256, resource.name);
    }
    Ok(())
}

async fn dispatches(archiving: &Archiving, one: Option<DispatchId>) -> Result<Vec<DispatchId>, Failure> {
    if let Some(one) = one {
        return Ok(vec![one]);
    }
    let all = archiving.store.bundles().await?;
    // Bundles of others are none of a dispatch's.
    Ok(all.iter().filter_map(|bid| bid.as_str().parse().ok()).collect())
}

async fn verify(
    archiving: &Archiving,
    db: &Database,
    one: Option<DispatchId>,
    json: bool,
) -> Result<(), Failure> {
    let (mut wrong, mut open) = (0, 0);
    let mut shown = Vec::new();
    for dispatch in dispatches(archiving, one).await? {
        let ledger = match handed_over(db, dispatch).await? {
            Ledger::Open => {
                open += 1;
                continue;
            }
            Ledger::Closed(emails) => Some(emails),
            Ledger::Forgotten => None,
        };
        let known = ledger.is_some();
        let found = archive::verify(&archiving.store, dispatch, ledger).await?;
        wrong += usize::from(!found.problems.is_empty());
        if json {
            shown.push(serde_json::json!({
                "dispatch_id": dispatch.to_string(),
                "in_ledger": known,
                "resources": found.resources,
                "emails": found.emails,
                "problems": found.problems,
            }));
            continue;
        }
        let state = if found.problems.is_empty() { "ok" } else { "WRONG" };
        let ledger = if known { "" } else { ", not in the ledger any more" };
        println!(
            "{dispatch}: {state}, {} resources, {} e-mails{ledger}",
            found.resources, found.emails
        );
        for problem in found.problems {
            println!("  {problem}");
        }
    }
    if json {
        println!("{}", serde_json::Value::from(shown));
    }
    if open > 0 {
        eprintln!("{open} dispatches are not closed: their bundles are not complete yet.");
    }
    if wrong > 0 { Err(Failure::Told) } else { Ok(()) }
}

/// What the ledger says of a dispatch.
enum Ledger {
    /// Its bundle is still being filled.
    Open,
    /// These were handed over.
    Closed(archive::LedgerEmails),
    /// It does not have it any more.
    Forgotten,
}

async fn handed_over(db: &Database, dispatch: DispatchId) -> Result<Ledger, Failure> {
    let read = move |conn: &mut repository::AnyConnection| {
        let Some(told) = repository::told(conn, dispatch)? else {
            return Ok(Ledger::Forgotten);
        };
        if told.closed_at.is_none() {
            return Ok(Ledger::Open);
        }
        repository::handed_over_ids(conn, dispatch).map(Ledger::Closed)
    };
    Ok(db.read(read).await?)
}

async fn erase(archiving: &Archiving, recipient: &EmailAddress, json: bool) -> Result<(), Failure> {
    let all = dispatches(archiving, None).await?;
    let mut progress = Progress::new("looking through bundles", all.len() as u64);
    let (mut bundles, mut emails, mut requests) = (0_u64, 0_usize, 0_u64);
    for (looked, dispatch) in (1..).zip(all) {
        let ways = (&archiving.store, &*archiving.storage);
        let erased = archive::erase(ways, dispatch, recipient, CLOCK()).await?;
        bundles += u64::from(erased != archive::Erased::default());
        emails += erased.emails;
        requests += u64::from(erased.request);
        progress.set(looked);
    }
    progress.finish();
    if json {
        let shown = serde_json::json!({"bundles": bundles, "emails": emails, "requests": requests});
        println!("{shown}");
    } else {
        println!("erased {emails} e-mails and {requests} requests from {bundles} bundles");
    }
    Ok(())
}
