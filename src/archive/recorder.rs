//! Takes e-mails on their way into the ledger and packs them into pages. One thread compresses; an outcome
//! goes on to the ledger only when its e-mail is in its page, so the window bounds what waits here.

use std::collections::HashMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::LEVEL;
use super::mbox::write_email;
use super::sealing::{Sealed, Sealing};
use super::sheaf::{Page, Sheaf, Sheaves};
use crate::domain::DispatchId;
use crate::mailer::Email;

/// What a page may have before it is written though others of it are still to come, in bytes as they are
/// stored.
const PART: usize = 8 * 1024 * 1024;

/// What an outcome does when its e-mail is in its page.
type Then = Box<dyn FnOnce() + Send>;

/// What the thread is told.
pub(super) enum Item {
    Email {
        page: Arc<Page>,
        sender: String,
        at: DateTime<Utc>,
        email: Email,
        then: Then,
    },
    Close(u64, Arc<Sheaf>),
}

/// The way into the pages; cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    items: Sender<Item>,
    sheaves: Arc<Sheaves>,
    pages: Arc<AtomicU64>,
}

impl Recorder {
    /// Starts the thread; `sealing` stores what is full. It ends when all recorders and pages are gone.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(sealing: Sealing) -> std::io::Result<Self> {
        let (items, told) = channel();
        std::thread::Builder::new()
            .name("herald-archive".into())
            .spawn(move || pack(&told, &sealing))?;
        Ok(Self {
            items,
            sheaves: Arc::default(),
            pages: Arc::default(),
        })
    }

    /// A dispatch is worked on: the start with this number.
    pub fn open(&self, dispatch: DispatchId, start: i32) -> Arc<Sheaf> {
        self.sheaves.open(dispatch, start)
    }

    /// What this process wrote of a dispatch last; told once.
    pub fn take(&self, dispatch: DispatchId) -> Option<Arc<Sheaf>> {
        self.sheaves.take(dispatch)
    }

    /// A page for e-mails that were read together.
    pub fn page(&self, sheaf: &Arc<Sheaf>) -> Arc<Page> {
        let id = self.pages.fetch_add(1, Ordering::Relaxed);
        Arc::new(Page::new(sheaf, id, self.items.clone()))
    }

    /// Puts an e-mail that may have been handed over into its page; `then` is called behind that, and in any
    /// case.
    pub fn put(
        &self,
        page: &Arc<Page>,
        sender: String,
        at: DateTime<Utc>,
        email: Email,
        then: impl FnOnce() + Send + 'static,
    ) {
        let item = Item::Email {
            page: Arc::clone(page),
            sender,
            at,
            email,
            then: Box::new(then),
        };
        if let Err(unsent) = self.items.send(item)
            && let Item::Email { page, then, .. } = unsent.0
        {
            page.sheaf.lost();
            then();
        }
    }
}

/// A page that is being filled.
struct Open {
    encoder: GzEncoder<Vec<u8>>,
    emails: u64,
}

impl Default for Open {
    fn default() -> Self {
        let encoder = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
        Self { encoder, emails: 0 }
    }
}

fn pack(told: &Receiver<Item>, sealing: &Sealing) {
    let mut open: HashMap<u64, Open> = HashMap::new();
    while let Ok(item) = told.recv() {
        match item {
            Item::Email {
                page,
                sender,
                at,
                email,
                then,
            } => {
                let filled = catch_unwind(AssertUnwindSafe(|| {
                    let filling = open.entry(page.id).or_default();
                    write_email(&mut filling.encoder, &sender, at, &[&email.own, &email.shared])?;
                    filling.emails += 1;
                    Ok::<_, std::io::Error>(filling.encoder.get_ref().len() >= PART)
                }));
                match filled {
                    Ok(Ok(false)) => {}
                    Ok(Ok(true)) => {
                        page.sheaf.begin();
                        seal(open.remove(&page.id), &page.sheaf, sealing);
                    }
                    _ => page.sheaf.lost(),
                }
                then();
            }
            Item::Close(id, sheaf) => seal(open.remove(&id), &sheaf, sealing),
        }
    }
}

/// Gives a page away to be stored; one without e-mails is none.
fn seal(open: Option<Open>, sheaf: &Arc<Sheaf>, sealing: &Sealing) {
    let Some(Open { mut encoder, emails }) = open.filter(|open| open.emails > 0) else {
        return sheaf.end();
    };
    let Ok(bytes) = encoder.flush().and_then(|()| encoder.finish()) else {
        sheaf.lost();
        return sheaf.end();
    };
    sealing.store(Sealed {
        sheaf: Arc::clone(sheaf),
        number: sheaf.next_number(),
        bytes: bytes.into(),
        emails,
    });
}
