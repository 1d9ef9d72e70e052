//! Whether this worker can do its job, for load balancers and orchestrators.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use crate::consumer::BrokerStatus;

/// Longest wait for the database's sign of life.
const PING: Duration = Duration::from_secs(2);

#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    status: &'static str,
    checks: Checks,
}

#[derive(Serialize, ToSchema)]
struct Checks {
    broker: &'static str,
    database: &'static str,
}

/// Whether this worker can do its job
#[utoipa::path(get, path = "/health", tag = "health",
    responses((status = 200, description = "it can", body = Health),
              (status = 503, description = "broker or database is away, or not yet set up", body = Health)))]
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

/// What a living process says.
#[derive(Serialize, ToSchema)]
pub(super) struct Alive {
    status: &'static str,
}

/// Whether the process lives
#[utoipa::path(get, path = "/health/live", tag = "health",
    responses((status = 200, description = "it does", body = Alive)))]
pub(super) async fn live() -> Json<Alive> {
    Json(Alive { status: "ok" })
}
