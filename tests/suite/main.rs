//! The integration tests, in one binary.

mod api;
mod bad_messages;
mod bad_participants;
mod broker;
mod mailer;
mod main_job;
#[path = "../support/mod.rs"]
mod support;
