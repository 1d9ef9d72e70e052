//! Completions that are pending: what is still to be done for dispatches that were closed.

use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::paging::{Page, rfc3339};
use super::problem::Problem;
use super::query::{Paging, Query};
use crate::message::Recipe;
use crate::repository::{self, CompletionView};

/// A completion as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Completion {
    /// `sqs_notifications:pending:{recipe_id}:{bundle_id}`
    key: String,
    dispatch_id: String,
    /// The same: a dispatch's bundle has its id.
    bundle_id: String,
    recipe_id: String,
    /// Whether a notice is due; otherwise the bundle alone is finalised anew.
    notice: bool,
    /// How often it failed.
    attempts: i32,
    /// When it is tried again, or was to be.
    next_at: String,
    error: Option<String>,
    /// When the dispatch was closed.
    created_at: String,
}

impl From<CompletionView> for Completion {
    fn from(view: CompletionView) -> Self {
        Self {
            key: view.key,
            bundle_id: view.dispatch_id.clone(),
            dispatch_id: view.dispatch_id,
            recipe_id: view.recipe_id,
            notice: view.notice,
            attempts: view.attempts,
            next_at: rfc3339(view.next_at),
            error: view.error,
            created_at: rfc3339(view.created_at),
        }
    }
}

/// Which completions.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `parse` takes")]
pub(super) struct Which {
    /// Such as `event.updated`.
    #[param(inline)]
    recipe: Option<super::words::Recipe>,
    #[param(minimum = 1, maximum = 1_000_000_000)]
    page: Option<u32>,
    #[param(minimum = 1, maximum = 100)]
    page_size: Option<u32>,
}

/// Pending completions, newest first
#[utoipa::path(get, path = "/api/v1/completions", tag = "completions", params(Which),
    responses((status = 200, description = "one page", body = Page<Completion>)))]
pub(super) async fn list(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<Completion>>, Problem> {
    let (recipe, paging) = parse(query.as_deref())?;
    let found = api.db.read(move |conn| {
        let recipe = recipe.as_ref().map(Recipe::as_str);
        repository::completion_page(conn, recipe, paging.page, paging.size)
    });
    let (views, total) = found.await?;
    let items = views.into_iter().map(Completion::from).collect();
    Ok(Json(Page::new(items, paging, total)))
}

fn parse(query: Option<&str>) -> Result<(Option<Recipe>, Paging), Problem> {
    let mut query = Query::new(query)?;
    let recipe = query.word("recipe")?;
    let paging = query.paging()?;
    query.end()?;
    Ok((recipe, paging))
}
