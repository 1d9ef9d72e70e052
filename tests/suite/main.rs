//! The integration tests, in one binary.

mod bad_participants;
mod broker;
mod mailer;
mod main_job;
#[path = "../support/mod.rs"]
mod support;
