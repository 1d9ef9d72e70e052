//! The integration tests, in one binary.

mod broker;
#[path = "../support/mod.rs"]
mod support;
