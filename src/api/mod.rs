//! The HTTP API. Errors are `application/problem+json`; what is asked wrongly is refused, never answered with an
//! empty list. Every route is described where its handler is: what is not described is not served.

mod auth;
mod completions;
mod dead_letters;
mod dispatches;
mod extract;
mod health;
mod messages;
mod metrics;
mod notifications;
mod observe;
mod openapi;
mod origin;
mod paging;
mod patient;
mod problem;
mod query;
mod replays;
mod retry;
mod server;
mod site;
mod steer;
mod templates;
mod tenants;
mod views;
mod words;
mod ws;

use std::sync::Arc;

use axum::routing::get;
use axum::{Extension, Router};
use secrecy::SecretString;
use tokio::sync::{Mutex, watch};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::consumer::{BrokerStatus, Publisher, Queue};
use crate::live::Live;
use crate::policy::Tenants;
use crate::processor::RelayView;
use crate::render::TemplateSets;
use crate::repository::Database;
use problem::Problem;

pub use server::{bind, serve};

/// What the handlers need.
#[derive(Clone)]
pub struct Api {
    /// The ledger.
    pub db: Database,
    /// Whether the ledger's tables are there and up to date.
    pub migrated: watch::Receiver<bool>,
    /// How it stands with the broker.
    pub broker: watch::Receiver<BrokerStatus>,
    /// Where the broker is, and its queue.
    pub queue: Queue,
    /// Publishes messages.
    pub publisher: Arc<Publisher>,
    /// Whoever looks at dead letters has it.
    pub letters: Arc<Mutex<()>>,
    /// Who has configured what.
    pub tenants: Tenants,
    /// What e-mails are made of.
    pub templates: Arc<TemplateSets>,
    /// How it stands with relays and webhooks.
    pub relays: watch::Receiver<Vec<RelayView>>,
    /// Required as bearer token when set.
    pub token: Option<SecretString>,
    /// What happens, and what is counted.
    pub live: Live,
    /// Further origins of pages that may open `/ws`.
    pub allowed_origins: Arc<[String]>,
}

/// All routes.
pub fn router(api: Api) -> Router {
    let guarded = described().layer(axum::middleware::from_fn_with_state(
        api.clone(),
        auth::require_token,
    ));
    let (routes, described) = OpenApiRouter::with_openapi(openapi::Head::openapi())
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .merge(guarded)
        .split_for_parts();
    routes
        .route("/ws", get(ws::live))
        .merge(site::routes())
        .fallback(|| async { Problem::not_found("there is nothing at this address") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(Extension(openapi::Description::new(&described)))
        .layer(axum::middleware::from_fn(observe::observe))
        .layer(axum::middleware::from_fn_with_state(api.clone(), metrics::count))
        .with_state(api)
}

/// Those that take the token.
fn described() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(openapi::show))
        .routes(routes!(notifications::list))
        .routes(routes!(notifications::one))
        .routes(routes!(retry::notification))
        .routes(routes!(messages::create))
        .routes(routes!(dispatches::list))
        .routes(routes!(dispatches::one))
        .routes(routes!(dispatches::reasons))
        .routes(routes!(retry::dispatch))
        .routes(routes!(steer::pause))
        .routes(routes!(steer::resume))
        .routes(routes!(steer::cancel))
        .routes(routes!(replays::create))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::replay))
        .routes(routes!(dead_letters::drop))
        .routes(routes!(completions::list))
        .routes(routes!(tenants::list))
        .routes(routes!(tenants::effective))
        .routes(routes!(templates::list))
        .routes(routes!(templates::one))
        .routes(routes!(views::relays))
        .routes(routes!(views::throughput))
        .routes(routes!(metrics::metrics))
}
