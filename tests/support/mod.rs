//! Real servers for the integration tests.

#![expect(unreachable_pub, reason = "what the tests share is public to them")]

pub mod certs;
pub mod proxy;
pub mod rabbit;
pub mod smtp;
