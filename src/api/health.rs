//! Whether this worker can do its job, for load balancers and orchestrators.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::Api;
use crate::consumer::BrokerStatus;

/// Longest wait for the database's sign of life.
const PING: Duration = Duration::from_secs(2);

#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
    checks: Checks,
}

#[derive(Serialize)]
struct Checks {
    broker: &'static str,
    database: &'static str,
}

/// `GET /health`: 503 when broker or database is away, or not yet set up.
pub(super) async fn health(State(api): State<Api>) -> (StatusCode, Json<Health>) {
    let word = |up: bool| if up { "ok" } else { "down" };
    let broker = *api.broker.borrow() == BrokerStatus::Connected;
    let database =
        *api.migrated.borrow() && matches!(tokio::time::timeout(PING, api.db.ping()).await, Ok(Ok(())));
    let checks = Checks {
        broker: word(broker),
        database: word(database),
    };
    if broker && database {
        (StatusCode::OK, Json(Health { status: "ok", checks }))
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(Health {
                status: "unavailable",
                checks,
            }),
        )
    }
}

/// `GET /health/live`: 200 while the process lives.
pub(super) async fn live() -> Json<serde_json::Value> {
    Json(serde_json::json!({"status": "ok"}))
}
