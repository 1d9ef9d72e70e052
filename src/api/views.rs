//! What this worker sees: its relays, and how much all workers of the queue sent in the last hour.

use axum::Json;
use axum::extract::State;
use chrono::SecondsFormat;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::paging::Items;
use crate::processor::RelayView;

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
    let minutes = api.live.throughput().into_iter().map(|minute| InMinute {
        at: minute.at.to_rfc3339_opts(SecondsFormat::Secs, true),
        sent: minute.sent,
        failed: minute.failed,
    });
    Json(Throughput {
        minutes: minutes.collect(),
    })
}
