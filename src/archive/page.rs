//! E-mails that were read together are kept together. Each is packed where it was handed over, while its bytes
//! are at hand, before its outcome goes on to the ledger; the page is stored when the last of them is done with.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::LEVEL;
use super::mbox::write_email;
use super::sealing::{Sealed, Sealing};
use super::sheaf::Sheaf;
use crate::mailer::Email;

/// What a page may have before it is stored though others of it are still to come, in bytes as they are
/// stored.
const PART: usize = 8 * 1024 * 1024;

/// What is larger is not packed while it is sent, but when the bundle is finalised, by and by.
const LARGE: usize = 512 * 1024;

/// A page that is being filled.
pub struct Page {
    sheaf: Arc<Sheaf>,
    sealing: Arc<Sealing>,
    open: Mutex<Option<Open>>,
}

struct Open {
    encoder: GzEncoder<Vec<u8>>,
    emails: u64,
}

impl Page {
    pub(super) fn new(sheaf: &Arc<Sheaf>, sealing: &Arc<Sealing>) -> Self {
        sheaf.begin();
        Self {
            sheaf: Arc::clone(sheaf),
            sealing: Arc::clone(sealing),
            open: Mutex::default(),
        }
    }

    /// Packs an e-mail that may have been handed over. Whatever fails here is made good when the bundle is
    /// finalised.
    pub fn put(&self, sender: &str, at: DateTime<Utc>, email: &Email) {
        if email.own.len() + email.shared.len() > LARGE {
            return self.sheaf.lost();
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = catch_unwind(AssertUnwindSafe(|| fill(&mut open, sender, at, email)));
        match filled {
            Ok(Ok(size)) if size >= PART => {
                self.sheaf.begin();
                self.seal(open.take());
            }
            Ok(Ok(_)) => {}
            _ => {
                // Half an e-mail must not make the others unreadable.
                *open = None;
                self.sheaf.lost();
            }
        }
    }

    /// Gives a page away to be stored; one without e-mails is none.
    fn seal(&self, open: Option<Open>) {
        let Some(Open { encoder, emails }) = open else {
            return self.sheaf.end();
        };
        let Ok(bytes) = encoder.finish() else {
            self.sheaf.lost();
            return self.sheaf.end();
        };
        self.sealing.store(Sealed {
            sheaf: Arc::clone(&self.sheaf),
            number: self.sheaf.next_number(),
            bytes: bytes.into(),
            emails,
        });
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        self.seal(open);
    }
}

/// The size of the page behind it.
fn fill(open: &mut Option<Open>, sender: &str, at: DateTime<Utc>, email: &Email) -> io::Result<usize> {
    let filling = open.get_or_insert_with(|| Open {
        encoder: GzEncoder::new(Vec::new(), Compression::new(LEVEL)),
        emails: 0,
    });
    write_email(&mut filling.encoder, sender, at, &[&email.own, &email.shared])?;
    filling.emails += 1;
    Ok(filling.encoder.get_ref().len())
}
