//! The integration tests, in one binary.

mod broker;
mod mailer;
mod main_job;
#[path = "../support/mod.rs"]
mod support;
