//! The e-mails that a bundle lacks, because of a crash, a storage that was away, or their size: made anew, since
//! their bytes follow from the ledger, and stored a page at a time.

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::bundling::{Bundler, add, later, of_storage};
use super::compose::email_of;
use super::enclosing::{self, Hindrance};
use super::planning::{self, Unready};
use crate::archive::{LEVEL, MBOX_GZIP, ids_on, is_page, page_name_again, write_email};
use crate::completion::Unfinished;
use crate::domain::{DispatchId, NotificationId};
use crate::failpoint;
use crate::mailer::Letterhead;
use crate::policy::Plan;
use crate::render::Composer;
use crate::repository::{self, Told, WorkRow};
use crate::storage::{BundleContext, BundleId, StorageError};

/// E-mails on a page that is made anew, and its size, in bytes, behind which it ends earlier.
const ON_A_PAGE: usize = 100;
const LARGE_PAGE: usize = 8 * 1024 * 1024;

/// Enough of a Message-ID's SHA-256 to know it by; a million of them have to fit.
type Id = [u8; 16];

fn short(message_id: &str) -> Id {
    let mut id = Id::default();
    id.copy_from_slice(&Sha256::digest(message_id)[..16]);
    id
}

impl Bundler {
    /// The Message-IDs of all e-mails that are stored or were erased.
    async fn known(&self, dispatch: DispatchId) -> Result<HashSet<Id>, StorageError> {
        let (store, bid) = (&self.archiving.store, BundleId::from(dispatch));
        let mut known: HashSet<Id> = HashSet::new();
        for resource in store.resources(&bid).await? {
            if !is_page(&resource.name) {
                continue;
            }
            match ids_on(store, &bid, &resource.name).await {
                Ok(ids) => known.extend(ids.iter().map(|id| short(id))),
                // Its e-mails are made anew. It stays: `archive verify` says what is wrong with it.
                Err(StorageError::Refused(why)) => {
                    tracing::warn!(dispatch.id = %dispatch, page = resource.name, why, "a stored page is broken");
                }
                Err(error) => return Err(error),
            }
        }
        let erasures = self.erasures(dispatch).await?;
        known.extend(erasures.message_ids().into_iter().map(short));
        Ok(known)
    }

    /// Makes the e-mails anew that a crash or a storage that was away kept out: their bytes follow from the
    /// ledger.
    pub(super) async fn make_missing(
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
            let missing = rows
                .into_iter()
                .filter(|row| !known.contains(&short(&row.message_id)));
            let mut missing = missing.peekable();
            while let Some(first) = missing.peek() {
                let name = page_name_again(told.starts, first.id);
                let letterhead = match &mut letterhead {
                    Some(made) => made,
                    none => none.insert(self.letterhead(dispatch, plan, &composer).await?),
                };
                let page = aside(|| self.page(&mut missing, plan, (&composer, letterhead)))?;
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
        let files = if plan.attachments.is_empty() {
            Vec::new()
        } else {
            let wanted = &plan.attachments;
            let files = enclosing::files_again(&self.fetcher, &self.archiving, dispatch, wanted);
            files.await.map_err(|hindrance| match hindrance {
                Hindrance::ForGood(why) => Unfinished::Never(why),
                Hindrance::Later(why) => Unfinished::NotYet(why),
                Hindrance::Ended(_) => Unfinished::NotYet("it was interrupted".to_owned()),
            })?
        };
        enclosing::letterhead(plan, composer, dispatch, &files).map_err(Unfinished::Never)
    }

    /// The next hundred, or fewer where they are large.
    fn page(
        &self,
        rows: &mut impl Iterator<Item = WorkRow>,
        plan: &Plan,
        (composer, letterhead): (&Composer, &Letterhead),
    ) -> Result<Vec<u8>, Unfinished> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(LEVEL));
        let sender = plan.identity.address.as_str();
        for row in rows.take(ON_A_PAGE) {
            let made = email_of(&row, plan, composer, letterhead, self.unsubscribe_url.as_ref());
            let (_, email) = made.map_err(Unfinished::NotYet)?;
            let at = row.created_at.and_utc();
            write_email(&mut packed, sender, at, &[&email.own, &email.shared])
                .map_err(|e| Unfinished::NotYet(e.to_string()))?;
            if packed.get_ref().len() >= LARGE_PAGE {
                break;
            }
        }
        packed.finish().map_err(|e| Unfinished::NotYet(e.to_string()))
    }
}

/// Does what takes its time beside the other tasks of this thread.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}
