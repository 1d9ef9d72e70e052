//! The integration tests, in one binary.

mod mailer;
mod broker;
#[path = "../support/mod.rs"]
mod support;
