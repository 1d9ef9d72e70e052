//! Why a file cannot be sent along, and whether it may be later.

use std::error::Error;
use std::io;

use url::Url;

use crate::domain::one_line;
use crate::message::Attachment;
use crate::outside::{Refused, reason};

/// Longest text of a server or a library that is repeated, in characters.
const MAX_TEXT: usize = 200;

/// Longest name that is repeated, in characters.
const MAX_NAME: usize = 80;

/// Why a file cannot be sent along.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct FetchError {
    what: String,
    why: String,
    passes: bool,
}

impl FetchError {
    /// Whether the same may succeed later without anybody's doing.
    pub const fn passes(&self) -> bool {
        self.passes
    }

    /// The same, as something that may pass.
    #[must_use]
    pub fn for_now(self) -> Self {
        Self { passes: true, ..self }
    }

    pub(super) fn of(attachment: &Attachment, failure: Failure) -> Self {
        let name = one_line(&attachment.name, MAX_NAME);
        let (why, passes) = match failure {
            Failure::ForGood(why) => (why, false),
            Failure::ForNow(why) => (why, true),
        };
        Self {
            what: format!("“{name}” from {}", host(&attachment.url)),
            why,
            passes,
        }
    }
}

/// The same of one request, whatever it is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    ForGood(String),
    ForNow(String),
}

impl Failure {
    /// What a client's error means: an address that leads inside and a certificate that is not to be trusted are
    /// somebody's doing, everything else may pass.
    pub(super) fn of_client(error: reqwest::Error) -> Self {
        let (refused, untrusted) = (
            behind(&error, |e| {
                matches!(e.downcast_ref(), Some(Refused::Private { .. }))
            }),
            behind(&error, |e| {
                matches!(e.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))
            }),
        );
        let why = one_line(&reason(error), MAX_TEXT);
        if refused || untrusted {
            Self::ForGood(why)
        } else {
            Self::ForNow(why)
        }
    }
}

/// Whether this error or one behind it is such. One in an `io::Error` is not among its sources.
fn behind(error: &(dyn Error + 'static), is_such: fn(&(dyn Error + 'static)) -> bool) -> bool {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    is_such(error)
        || inner.is_some_and(|inner| behind(inner, is_such))
        || error.source().is_some_and(|source| behind(source, is_such))
}

/// All that is repeated of a URL.
pub(super) fn host(url: &Url) -> String {
    one_line(url.host_str().unwrap_or("nowhere"), MAX_NAME)
}
