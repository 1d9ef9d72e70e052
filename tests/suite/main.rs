//! The integration tests, in one binary.

mod mailer;
#[path = "../support/mod.rs"]
mod support;
