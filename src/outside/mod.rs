//! HTTP to machines that Herald does not know.
//!
//! Guarantee: nothing but a public address is connected to, and only one that was looked at, unless the operator
//! opened the host. No proxy stands between, nobody is redirected, nothing is sent twice, and what goes wrong is
//! told without the URL, which may be a secret.

mod public;
mod resolver;
mod trust;

use std::error::Error;

use reqwest::{ClientBuilder, redirect, retry};

pub(crate) use public::is_public;
pub(crate) use resolver::Refused;
use resolver::Resolver;
pub use trust::{OutsideError, Trust};

/// What all clients have in common; `open`: any address will do, and no TLS is needed.
pub(crate) fn client(trust: &Trust, open: bool) -> ClientBuilder {
    ClientBuilder::new()
        .user_agent(concat!("herald/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(trust.0.clone())
        .dns_resolver(Resolver { open })
        .https_only(!open)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        // Every try is a decision of the caller's.
        .retry(retry::never())
        .http1_only()
}

/// What is at the bottom of a client's error: it says why, where those above say what was being done.
pub(crate) fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut deepest: &dyn Error = &error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
