//! Fetches the files that a message wants sent along.
//!
//! Guarantee: only hosts that the operator named are asked, over https, at public addresses, redirects included;
//! what comes is bounded in bytes and time; and a failure says whether it may pass. What is secret in a URL is in
//! no text.

mod error;
mod fetcher;
mod rules;
mod unpacking;

pub use error::FetchError;
pub use fetcher::{Fetched, Fetcher, Limits};
