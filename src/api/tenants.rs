//! What is configured for a tenant, for people: where it stands, and no secret of it.

use std::time::SystemTime;

use axum::Json;
use axum::extract::{Path, State};
use chrono::Utc;

use super::Api;
use super::problem::Problem;
use crate::domain::TenantId;
use crate::policy::Effective;

/// `GET /api/v1/tenants/{id}/effective`: as of now, files included. Any id that could be a tenant's has an
/// answer.
pub(super) async fn effective(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<Effective>, Problem> {
    let id: TenantId = id
        .parse()
        .map_err(|_| Problem::not_found("no tenant can have this id"))?;
    let look = move || {
        // Takes note of files that were changed; its answer is for messages.
        let _ = api.tenants.resolve(Some(&id), SystemTime::from(Utc::now()));
        api.tenants.effective(&id)
    };
    let looked = tokio::task::spawn_blocking(look).await;
    looked.map(Json).map_err(|_| Problem::unexpected())
}
