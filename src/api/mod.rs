//! The HTTP API. Errors are `application/problem+json`; what a query asks wrongly is refused, never
//! answered with an empty list.

mod auth;
mod health;
mod notifications;
mod problem;
mod retry;
mod site;
mod tenants;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::consumer::BrokerStatus;
use crate::policy::Tenants;
use crate::repository::Database;
use problem::Problem;

/// Time for one answer.
const ANSWER: Duration = Duration::from_secs(30);

/// Longest request body.
const MAX_REQUEST: usize = 1024 * 1024 + 64 * 1024;

/// What the handlers need.
#[derive(Clone)]
pub struct Api {
    /// The ledger.
    pub db: Database,
    /// Whether the ledger's tables are there and up to date.
    pub migrated: watch::Receiver<bool>,
    /// How it stands with the broker.
    pub broker: watch::Receiver<BrokerStatus>,
    /// Who has configured what.
    pub tenants: Tenants,
    /// Required as bearer token when set.
    pub token: Option<SecretString>,
}

/// All routes.
pub fn router(api: Api) -> Router {
    let guarded = Router::new()
        .route("/api/v1/notifications", get(notifications::list))
        .route("/api/v1/notifications/{id}", get(notifications::one))
        .route("/api/v1/notifications/retry/{id}", post(retry::notification))
        .route("/api/v1/dispatches/{id}/retry", post(retry::dispatch))
        .route("/api/v1/tenants/{id}/effective", get(tenants::effective))
        .layer(axum::middleware::from_fn_with_state(
            api.clone(),
            auth::require_token,
        ));
    Router::new()
        .route("/health", get(health::health))
        .route("/health/live", get(health::live))
        .merge(site::routes())
        .merge(guarded)
        .fallback(|| async { Problem::not_found("there is nothing at this address") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(RequestBodyLimitLayer::new(MAX_REQUEST))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            ANSWER,
        ))
        .with_state(api)
}

/// Opens the socket, so that an address that is taken is known at once.
pub async fn bind(addr: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(addr).await
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, api: Api, stop: CancellationToken) {
    let served = axum::serve(listener, router(api))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the HTTP API has ended");
    }
}
