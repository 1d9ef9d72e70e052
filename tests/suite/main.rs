//! The integration tests, in one binary.

mod broker;
mod commands;
mod crash;
mod mailer;
mod main_job;
mod missing;
mod redelivery;
mod stop;
#[path = "../support/mod.rs"]
mod support;
mod tls;
