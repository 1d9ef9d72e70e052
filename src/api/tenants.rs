//! What is configured for tenants, for people: where each stands, and no secret of it.

use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use chrono::Utc;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Api;
use super::extract::Segment;
use super::paging::Items;
use super::problem::Problem;
use crate::domain::TenantId;
use crate::policy::Listed;

/// A tenant that has a file, or the root.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Standing {
    /// Null is the root.
    tenant_id: Option<String>,
    /// Whose configuration applies: `tenant`, `root` or `disabled`.
    state: &'static str,
    /// The file that decides; null where it is the environment.
    file: Option<String>,
    /// What is wrong with it.
    error: Option<String>,
}

impl From<Listed> for Standing {
    fn from(listed: Listed) -> Self {
        Self {
            tenant_id: listed.tenant.map(|id| id.to_string()),
            state: listed.state.as_str(),
            file: listed.file,
            error: listed.error,
        }
    }
}

/// The root, and the tenants that have a file
#[utoipa::path(get, path = "/api/v1/tenants", tag = "tenants",
    responses((status = 200, description = "all of them", body = Items<Standing>)))]
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Items<Standing>>, Problem> {
    // With very many tenants it takes a while.
    let look = move || api.tenants.listing();
    let listed = tokio::task::spawn_blocking(look).await;
    let listed = listed.map_err(|_| Problem::unexpected())?;
    Ok(Json(Items {
        items: listed.into_iter().map(Standing::from).collect(),
    }))
}

/// What applies to a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Effective {
    tenant_id: String,
    /// Whose configuration applies: `tenant`, `root` or `disabled`.
    state: &'static str,
    /// The file that decides; null where it is the environment.
    file: Option<String>,
    /// What is wrong with it; also while an earlier version still applies.
    error: Option<String>,
    /// All keys with their values, secrets masked; null is what is left to the environment.
    #[schema(value_type = Option<Object>)]
    config: Option<Value>,
}

/// What applies to a tenant, as of now; any id that could be a tenant's has an answer
#[utoipa::path(get, path = "/api/v1/tenants/{id}/effective", tag = "tenants",
    params(("id" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")),
    responses((status = 200, description = "its configuration", body = Effective),
              (status = 404, description = "no tenant can have this id")))]
pub(super) async fn effective(
    State(api): State<Api>,
    Segment(id): Segment,
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
    let effective = looked.map_err(|_| Problem::unexpected())?;
    Ok(Json(Effective {
        tenant_id: effective.tenant_id,
        state: effective.state.as_str(),
        file: effective.file,
        error: effective.error,
        config: effective.config,
    }))
}
