//! Posts one rendered message to an incoming webhook and says what became of it.
//!
//! Guarantees: [`Posted::Accepted`] only after 2yz; [`Posted::Unknown`] exactly when the whole post may have
//! left and no answer came; in every other case the webhook certainly did not take it. Only addresses that
//! were checked are connected to, redirects are not followed, no proxy stands between, and the secret part of
//! the URL is in no text. Everything together has one time limit.

mod gate;
mod posted;
#[cfg(test)]
mod tests;
mod webhook;

pub use posted::Posted;
pub use webhook::Webhook;
