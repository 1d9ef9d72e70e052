//! What this worker sees of itself: its relays, and how much went out in the last hour.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use chrono::{DurationRound, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::page::Items;
use crate::processor::RelayView;

/// Minutes shown.
const MINUTES: i64 = 60;

/// The relays and webhooks that this worker knows, each with the identities that send through it
#[utoipa::path(get, path = "/api/v1/relays", tag = "this worker",
    responses((status = 200, description = "all of them", body = Items<RelayView>)))]
pub(super) async fn relays(State(api): State<Api>) -> Json<Items<RelayView>> {
    let items = api.relays.borrow().clone();
    Json(Items { items })
}

/// What became of notifications in one minute.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InMinute {
    /// When it began.
    at: String,
    sent: u64,
    failed: u64,
}

/// The last hour.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Throughput {
    /// 60 of them, oldest first; the last one is under way.
    minutes: Vec<InMinute>,
}

/// How many notifications were sent and failed in each minute of the last hour
#[utoipa::path(get, path = "/api/v1/throughput", tag = "this worker",
    responses((status = 200, description = "the last hour", body = Throughput)))]
pub(super) async fn throughput(State(api): State<Api>) -> Json<Throughput> {
    let known = api.throughput.borrow().clone();
    let by_time: HashMap<i64, (u64, u64)> = known
        .iter()
        .map(|minute| (minute.at.timestamp() / 60, (minute.sent, minute.failed)))
        .collect();
    let now = Utc::now();
    let this = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
    let minutes = (0..MINUTES).rev().map(|ago| {
        let at = this - TimeDelta::minutes(ago);
        let (sent, failed) = by_time.get(&(at.timestamp() / 60)).copied().unwrap_or_default();
        let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
        InMinute { at, sent, failed }
    });
    Json(Throughput {
        minutes: minutes.collect(),
    })
}
