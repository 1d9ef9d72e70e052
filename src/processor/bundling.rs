//! Makes the bundle of a closed dispatch whole: the request, every e-mail that the ledger says was handed over,
//! the outcome, and `bundle.json` behind them. May be done again at any time, and after a crash at any point.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::{Map, Value, json};

use crate::archive::{ERASURES, Erasures, OUTCOME, REQUEST, Recorder, read_whole, url};
use crate::attachment::Fetcher;
use crate::completion::{Bundled, Finalise, Unfinished};
use crate::config::UrlTemplate;
use crate::domain::{DispatchId, recipe_id};
use crate::failpoint;
use crate::policy::Plan;
use crate::render::TemplateSets;
use crate::repository::{self, Counts, Database, Told};
use crate::storage::{BundleContext, BundleId, BundleRef, Recipe, Storage, StorageError, Store};

/// How long what is on its way to the storage is waited for.
const SETTLING: Duration = Duration::from_mins(1);

/// Lists that are written in a row at most.
const MOST_ROUNDS: usize = 5;

/// Where e-mails are kept.
#[derive(Clone)]
pub struct Archiving {
    /// Packs them while they are sent.
    pub recorder: Recorder,
    /// What is kept, to be read.
    pub store: Store,
    /// The way into it for what is stored as it is.
    pub storage: Arc<dyn Storage>,
    /// The way into it for what is unpacked, if that is wanted.
    pub unpacking: Arc<dyn Storage>,
}

/// Makes bundles whole.
#[derive(Clone)]
pub struct Bundler {
    /// The ledger.
    pub db: Database,
    /// For e-mails that have to be made anew.
    pub templates: Arc<TemplateSets>,
    /// `UNSUBSCRIBE_URL`
    pub unsubscribe_url: Option<UrlTemplate>,
    /// For their attachments, where these are not kept.
    pub fetcher: Arc<Fetcher>,
    /// Where to.
    pub archiving: Archiving,
}

impl Bundler {
    /// The same for those who ask by a dispatch's id.
    pub fn into_finalise(self) -> Finalise {
        Arc::new(move |dispatch| {
            let bundler = self.clone();
            async move { bundler.finalise(dispatch).await }.boxed()
        })
    }

    /// Makes the bundle of `dispatch` whole.
    ///
    /// # Errors
    /// Whether it may be tried again.
    pub async fn finalise(&self, dispatch: DispatchId) -> Result<Bundled, Unfinished> {
        let read = move |conn: &mut repository::AnyConnection| {
            let told = repository::told(conn, dispatch)?;
            Ok((
                told,
                repository::counts(conn, dispatch)?,
                repository::handed_over(conn, dispatch)?,
            ))
        };
        let (told, counts, handed_over) = self.db.read(read).await.map_err(|e| later(&e))?;
        let Some(told) = told else {
            return Err(Unfinished::Never("the ledger has forgotten this dispatch".into()));
        };
        let plan = Plan::from_text(&told.plan).map_err(|e| Unfinished::Never(e.to_string()))?;
        let bundle = BundleRef {
            bid: dispatch.into(),
            primary_url: told.primary_url.clone(),
        };
        let recipe = Recipe {
            id: recipe_id(plan.facts.kind().as_str()),
        };
        let context = self.archiving.storage.start_bundle(&bundle, &recipe).await;
        let context = context.map_err(of_storage)?;
        let whole = self.is_whole(dispatch, &told, handed_over).await;
        if !whole {
            self.make_missing(dispatch, &told, &plan, &*context).await?;
        }
        let erasures = self.erasures(dispatch).await.map_err(of_storage)?;
        if !erasures.request() {
            put(&*context, dispatch, REQUEST, told.body.clone()).await?;
        }
        let outcome = outcome(dispatch, &told, &counts, &recipe.id);
        let text = serde_json::to_vec_pretty(&outcome).map_err(|e| Unfinished::Never(e.to_string()))?;
        put(&*context, dispatch, OUTCOME, text).await?;
        failpoint::reached("bundle-unlisted");
        let mut manifest = context.complete(outcome.clone()).await.map_err(of_storage)?;
        // What another worker stored meanwhile belongs to it.
        for _ in 0..MOST_ROUNDS {
            let names = self
                .archiving
                .store
                .names(&bundle.bid)
                .await
                .map_err(of_storage)?;
            let listed: HashSet<&str> = manifest.resources.iter().map(|r| r.name.as_str()).collect();
            if names.iter().all(|name| listed.contains(name.as_str())) {
                break;
            }
            manifest = context.complete(outcome.clone()).await.map_err(of_storage)?;
        }
        Ok(Bundled {
            resources_count: manifest.resources_count,
            storage_key: Some(manifest.storage_key),
        })
    }

    /// Whether this process has stored all e-mails of a dispatch that was started once: then nothing is missing.
    async fn is_whole(&self, dispatch: DispatchId, told: &Told, handed_over: u64) -> bool {
        let Some(sheaf) = self.archiving.recorder.take(dispatch) else {
            return handed_over == 0;
        };
        let stored = sheaf.settled(SETTLING).await;
        told.starts == 1 && sheaf.start() == 1 && stored == Some(handed_over)
    }

    pub(super) async fn erasures(&self, dispatch: DispatchId) -> Result<Erasures, StorageError> {
        let (store, bid) = (&self.archiving.store, BundleId::from(dispatch));
        if !store.resources(&bid).await?.iter().any(|r| r.name == ERASURES) {
            return Ok(Erasures::default());
        }
        let text = read_whole(store, &bid, ERASURES).await?;
        Ok(serde_json::from_slice(&text).map_err(std::io::Error::from)?)
    }
}

/// What is said of the dispatch beside its e-mails.
fn outcome(dispatch: DispatchId, told: &Told, counts: &Counts, recipe: &str) -> Map<String, Value> {
    let counted: Map<String, Value> = counts
        .iter()
        .map(|(status, n)| (status.as_str().to_owned(), n.into()))
        .collect();
    let all = json!({
        "dispatch_id": dispatch.to_string(),
        "recipe_id": recipe,
        "message_id": told.message_id,
        "status": told.status,
        "counts": counted,
        "error": told.error,
        "created_at": told.created_at.and_utc(),
        "closed_at": told.closed_at.map(|at| at.and_utc()),
    });
    match all {
        Value::Object(all) => all,
        _ => Map::new(),
    }
}

async fn put(
    context: &dyn BundleContext,
    dispatch: DispatchId,
    name: &str,
    text: Vec<u8>,
) -> Result<(), Unfinished> {
    add(context, dispatch, name, "application/json", text).await
}

pub(super) async fn add(
    context: &dyn BundleContext,
    dispatch: DispatchId,
    name: &str,
    content_type: &str,
    bytes: Vec<u8>,
) -> Result<(), Unfinished> {
    let body = stream::once(async move { Ok(Bytes::from(bytes)) }).boxed();
    let url = url(dispatch, name);
    let added = context.add_resource(&url, content_type, 200, body).await;
    added.map(|_| ()).map_err(of_storage)
}

pub(super) fn later(error: &repository::DbError) -> Unfinished {
    Unfinished::NotYet(error.to_string())
}

/// What is ours to mend is tried again, too: the bundle is completed when it is.
#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
pub(super) fn of_storage(error: StorageError) -> Unfinished {
    Unfinished::NotYet(error.to_string())
}
