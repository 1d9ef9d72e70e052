//! Makes the bundle of a closed dispatch whole: the request, every e-mail that the ledger says was handed over,
//! the outcome, and `bundle.json` behind them. May be done again at any time, and after a crash at any point.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::{Map, Value, json};

use super::compose::email_of;
use super::enclosing;
use super::planning::{self, Unready};
use crate::archive::{
    ERASURES, Erasures, LEVEL, MBOX_GZIP, OUTCOME, REQUEST, Recorder, ids_on, is_page, page_name_again,
    read_whole, url, write_email,
};
use crate::attachment::Fetcher;
use crate::completion::{Bundled, Finalise, Unfinished};
use crate::config::UrlTemplate;
use crate::domain::{DispatchId, NotificationId, recipe_id};
use crate::failpoint;
use crate::mailer::Letterhead;
use crate::policy::Plan;
use crate::render::{Composer, TemplateSets};
use crate::repository::{self, Counts, Database, Told, WorkRow};
use crate::storage::{BundleContext, BundleId, BundleRef, Recipe, Storage, StorageError, Store};

/// How long what is on its way to the storage is waited for.
const SETTLING: Duration = Duration::from_mins(1);

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
        let manifest = context.complete(outcome).await.map_err(of_storage)?;
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

    async fn erasures(&self, dispatch: DispatchId) -> Result<Erasures, StorageError> {
        let (store, bid) = (&self.archiving.store, BundleId::from(dispatch));
        if !store.resources(&bid).await?.iter().any(|r| r.name == ERASURES) {
            return Ok(Erasures::default());
        }
        let text = read_whole(store, &bid, ERASURES).await?;
        Ok(serde_json::from_slice(&text).map_err(std::io::Error::from)?)
    }

    /// The Message-IDs of all e-mails that are stored or were erased.
    async fn known(&self, dispatch: DispatchId) -> Result<HashSet<String>, StorageError> {
        let (store, bid) = (&self.archiving.store, BundleId::from(dispatch));
        let mut known: HashSet<String> = HashSet::new();
        for resource in store.resources(&bid).await? {
            if !is_page(&resource.name) {
                continue;
            }
            match ids_on(store, &bid, &resource.name).await {
                Ok(ids) => known.extend(ids),
                // Its e-mails are made anew. It stays: `archive verify` says what is wrong with it.
                Err(StorageError::Refused(why)) => {
                    tracing::warn!(dispatch.id = %dispatch, page = resource.name, why, "a stored page is broken");
                }
                Err(error) => return Err(error),
            }
        }
        let erasures = self.erasures(dispatch).await?;
        known.extend(erasures.message_ids().into_iter().map(str::to_owned));
        Ok(known)
    }

    /// Makes the e-mails anew that a crash or a storage that was away kept out: their bytes follow from the
    /// ledger.
    async fn make_missing(
        &self,
        dispatch: DispatchId,
        told: &Told,
        plan: &Plan,
        context: &dyn BundleContext,
    ) -> Result<(), Unfinished> {
        let known = self.known(dispatch).await.map_err(of_storage)?;
        let made = planning::compose(&self.templates, plan, told.created_at.and_utc(), told.held_back);
        let composer = made.await.map_err(|unready| match unready {
            Unready::Configuration(why) | Unready::Program(why) => Unfinished::NotYet(why),
        })?;
        let mut letterhead: Option<Letterhead> = None;
        let mut after = NotificationId(0);
        loop {
            let read = move |conn: &mut repository::AnyConnection| {
                repository::handed_over_rows(conn, dispatch, after)
            };
            let rows = self.db.read(read).await.map_err(|e| later(&e))?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id;
            let missing = rows.into_iter().filter(|row| !known.contains(&row.message_id));
            let missing: Vec<WorkRow> = missing.collect();
            for rows in missing.chunks(100) {
                let Some(first) = rows.first() else { continue };
                let name = page_name_again(told.starts, first.id);
                let letterhead = match &mut letterhead {
                    Some(made) => made,
                    none => none.insert(self.letterhead(dispatch, plan, &composer).await?),
                };
                let page = self.page(rows, plan, (&composer, letterhead))?;
                add(context, dispatch, &name, MBOX_GZIP, page).await?;
                failpoint::reached("bundle-again");
            }
        }
    }

    async fn letterhead(
        &self,
        dispatch: DispatchId,
        plan: &Plan,
        composer: &Composer,
    ) -> Result<Letterhead, Unfinished> {
        let files = enclosing::files(&self.fetcher, Some(&self.archiving), dispatch, &plan.attachments);
        let files = files.await.map_err(|error| {
            let unfinished = if error.passes() {
                Unfinished::NotYet
            } else {
                Unfinished::Never
            };
            unfinished(error.to_string())
        })?;
        enclosing::letterhead(plan, composer, dispatch, &files).map_err(Unfinished::Never)
    }

    fn page(
        &self,
        rows: &[WorkRow],
        plan: &Plan,
        (composer, letterhead): (&Composer, &Letterhead),
    ) -> Result<Vec<u8>, Unfinished> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(LEVEL));
        let sender = plan.identity.address.as_str();
        for row in rows {
            let made = email_of(row, plan, composer, letterhead, self.unsubscribe_url.as_ref());
            let (_, email) = made.map_err(Unfinished::NotYet)?;
            write_email(
                &mut packed,
                sender,
                row.created_at.and_utc(),
                &[&email.own, &email.shared],
            )
            .map_err(|e| Unfinished::NotYet(e.to_string()))?;
        }
        packed.finish().map_err(|e| Unfinished::NotYet(e.to_string()))
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

async fn add(
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

fn later(error: &repository::DbError) -> Unfinished {
    Unfinished::NotYet(error.to_string())
}

/// What is ours to mend is tried again, too: the bundle is completed when it is.
#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn of_storage(error: StorageError) -> Unfinished {
    Unfinished::NotYet(error.to_string())
}
