//! What Herald keeps of each dispatch: a bundle with the request, every e-mail as it was handed over, and the
//! outcome.
//!
//! Guarantee: a bundle with a `bundle.json` has each e-mail whose outcome is `sent` or `unknown`, byte for byte
//! and at least once, unless it was erased. Recording never stops an e-mail: what a storage did not take in
//! time is made anew from the ledger when the bundle is finalised.

mod erasing;
mod erasure;
mod files;
mod mbox;
mod page;
mod reading;
mod recorder;
mod sealing;
mod sheaf;
mod verification;

pub use erasing::{Erased, erase};
pub use erasure::Erasures;
pub use files::{keep_files, kept_files};
pub use mbox::{MboxReader, message_id_of, write_email};
pub use page::Page;
pub use reading::{Emails, emails, ids_on, of_recipient, read_whole};
pub use recorder::Recorder;
pub use sealing::{Late, Sealing};
pub use sheaf::Sheaf;
pub use verification::{Findings, LedgerEmails, verify};

use crate::domain::{DispatchId, NotificationId};

/// The request's resource.
pub const REQUEST: &str = "request.json";

/// The outcome's resource.
pub const OUTCOME: &str = "outcome.json";

/// The resource that lists what went out with each e-mail.
pub const ATTACHMENTS: &str = "attachments.json";

/// The resource that says what was erased.
pub const ERASURES: &str = "erased.json";

/// How hard pages are packed: of gzip's levels the one that costs least for e-mails that are nearly alike.
pub const LEVEL: u32 = 4;

/// Content type of pages of e-mails.
pub const MBOX_GZIP: &str = "application/gzip";

/// Where a resource of Herald's own is said to come from.
pub fn url(dispatch: DispatchId, name: &str) -> String {
    format!("herald://dispatches/{dispatch}/{name}")
}

/// The name of a page of e-mails: which start of the dispatch wrote it, and its number there.
pub fn page_name(start: i32, number: u64) -> String {
    format!("emails-{start}-{number}.mbox.gz")
}

/// The name of a page that was made anew, by the first notification on it: while that is missing, no other page
/// has the name, so none is ever written over.
pub fn page_name_again(start: i32, first: NotificationId) -> String {
    format!("emails-again-{start}-{first}.mbox.gz")
}

/// Whether a resource is a page of e-mails.
pub fn is_page(name: &str) -> bool {
    name.starts_with("emails-") && name.ends_with(".mbox.gz")
}
