//! Herald turns one message on a queue into one e-mail for each person concerned: nobody missed, nobody
//! mailed twice, and a ledger that proves it.

pub mod repository;

pub mod consumer;

pub mod message;

pub mod config;

pub mod domain;
