//! The integration tests, in one binary.

mod acks;
mod api;
mod bad_messages;
mod bad_participants;
mod broker;
mod commands;
mod cooldown;
mod crash;
mod dead_letters;
mod faults;
mod flights;
mod hostile_relay;
mod lanes;
mod mailer;
mod main_job;
mod missing;
mod page;
mod poison;
mod posts;
mod real_servers;
mod reasons;
mod redelivery;
mod relay;
mod round_trips;
mod scripted;
mod slack;
mod slack_limits;
mod stop;
#[path = "../support/mod.rs"]
mod support;
mod sweep;
mod tenants;
mod tls;
