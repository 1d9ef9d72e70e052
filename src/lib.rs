//! Herald turns one message on a queue into one e-mail for each person concerned: nobody missed, nobody
//! mailed twice, and a ledger that proves it.
//!
//! The modules stand in the order of a message's way; each uses only what stands below it.

#[cfg(not(any(feature = "sqlite", feature = "postgres", feature = "mysql")))]
compile_error!(
    "Herald keeps its ledger in a database: build it with at least one of the features sqlite, postgres and mysql"
);

pub mod cli;

pub mod api;

pub mod worker;

pub mod processor;

pub mod completion;

pub mod archive;

pub mod storage;

pub mod attachment;

pub mod mailer;

pub mod slack;

pub mod render;

pub mod policy;

pub mod consumer;

pub mod message;

pub mod repository;

pub mod live;

pub mod metrics;

pub mod telemetry;

pub mod shutdown;

mod aws;

pub mod outside;

pub mod config;

pub mod domain;

mod failpoint;
