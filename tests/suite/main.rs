//! The integration tests, in one binary.

mod broker;
mod mailer;
#[path = "../support/mod.rs"]
mod support;
