//! Dispatches: how far each has come, and why some of its people were not reached.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{RawQuery, State};
use chrono::{NaiveDateTime, Utc};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::Segment;
use super::paging::{Items, Page, rfc3339};
use super::problem::Problem;
use super::query::{Paging, Query};
use crate::domain::DispatchId;
use crate::repository::{self, Counts, DispatchFilter, DispatchView, ReasonGroup};

/// What is said where there is none.
pub(super) const UNKNOWN: &str = "there is no dispatch with this id";

/// A dispatch as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Dispatch {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    tenant_id: Option<String>,
    event_id: Option<i64>,
    order_id: Option<String>,
    message_id: Option<String>,
    status: String,
    /// How many notifications have which status.
    counts: BTreeMap<&'static str, u64>,
    /// How many notifications in all; null until that is known.
    total: Option<u64>,
    /// 0 to 1.
    progress: f64,
    /// Notifications settled per second.
    rate: f64,
    created_at: String,
    closed_at: Option<String>,
    error: Option<String>,
}

impl Dispatch {
    fn new(view: DispatchView, counts: &Counts, now: NaiveDateTime) -> Self {
        Self {
            counts: counts.iter().map(|(status, n)| (status.as_str(), n)).collect(),
            total: view.total(counts),
            progress: view.progress(counts),
            rate: view.rate(counts, now),
            id: view.id,
            kind: view.kind,
            tenant_id: view.tenant_id,
            event_id: view.event_id,
            order_id: view.order_id,
            message_id: view.message_id,
            status: view.status,
            created_at: rfc3339(view.created_at),
            closed_at: view.closed_at.map(rfc3339),
            error: view.error,
        }
    }
}

/// Which dispatches.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `parse` takes")]
pub(super) struct Which {
    #[param(inline)]
    status: Option<super::words::DispatchStatus>,
    /// The message's `type`.
    #[param(max_length = 320, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    r#type: Option<String>,
    #[param(minimum = 1)]
    event_id: Option<i64>,
    #[param(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    tenant_id: Option<String>,
    /// The publisher's.
    #[param(max_length = 320, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    message_id: Option<String>,
    #[param(minimum = 1, maximum = 1_000_000_000)]
    page: Option<u32>,
    #[param(minimum = 1, maximum = 100)]
    page_size: Option<u32>,
}

/// Dispatches, newest first
#[utoipa::path(get, path = "/api/v1/dispatches", tag = "dispatches", params(Which),
    responses((status = 200, description = "one page", body = Page<Dispatch>)))]
pub(super) async fn list(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<Dispatch>>, Problem> {
    let (filter, paging) = parse(query.as_deref())?;
    let found = api.db.read(move |conn| {
        let (views, total) = repository::dispatch_page(conn, &filter, paging.page, paging.size)?;
        let ids = views.iter().map(|view| view.id.clone()).collect();
        Ok((views, total, repository::counts_of(conn, ids)?))
    });
    let (views, total, mut counted) = found.await?;
    let now = Utc::now().naive_utc();
    let shown = views.into_iter().map(|view| {
        let counts = counted.remove(&view.id).unwrap_or_default();
        Dispatch::new(view, &counts, now)
    });
    Ok(Json(Page::new(shown.collect(), paging, total)))
}

fn parse(query: Option<&str>) -> Result<(DispatchFilter, Paging), Problem> {
    let mut query = Query::new(query)?;
    let filter = DispatchFilter {
        status: query.word("status")?,
        kind: query.text("type")?,
        event_id: query.word("event_id")?,
        tenant_id: query.word("tenant_id")?,
        message_id: query.text("message_id")?,
    };
    let paging = query.paging()?;
    query.end()?;
    Ok((filter, paging))
}

/// The dispatch that a path names.
pub(super) fn named(id: &str) -> Result<DispatchId, Problem> {
    id.parse().map_err(|_| Problem::not_found(UNKNOWN))
}

/// One dispatch
#[utoipa::path(get, path = "/api/v1/dispatches/{id}", tag = "dispatches",
    params(("id" = String, Path, format = "uuid")),
    responses((status = 200, description = "the dispatch", body = Dispatch),
              (status = 404, description = "there is none with this id")))]
pub(super) async fn one(State(api): State<Api>, Segment(id): Segment) -> Result<Json<Dispatch>, Problem> {
    let id = named(&id)?;
    let found = api.db.read(move |conn| {
        let view = repository::dispatch(conn, id)?;
        Ok((view, repository::counts(conn, id)?))
    });
    let (view, counts) = found.await?;
    let view = view.ok_or_else(|| Problem::not_found(UNKNOWN))?;
    Ok(Json(Dispatch::new(view, &counts, Utc::now().naive_utc())))
}

/// Notifications that were not sent for the same reason.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reason {
    /// `failed`, `unknown`, `deferred` or `suppressed`.
    status: String,
    error: Option<String>,
    count: i64,
    /// The id of one of them.
    example: Option<i64>,
}

impl From<ReasonGroup> for Reason {
    fn from(group: ReasonGroup) -> Self {
        Self {
            status: group.status,
            error: group.error,
            count: group.count,
            example: group.example,
        }
    }
}

/// Why notifications of a dispatch were not sent, the most frequent reasons first, at most 100
#[utoipa::path(get, path = "/api/v1/dispatches/{id}/reasons", tag = "dispatches",
    params(("id" = String, Path, format = "uuid")),
    responses((status = 200, description = "its reasons", body = Items<Reason>),
              (status = 404, description = "there is none with this id")))]
pub(super) async fn reasons(
    State(api): State<Api>,
    Segment(id): Segment,
) -> Result<Json<Items<Reason>>, Problem> {
    let id = named(&id)?;
    let found = api.db.read(move |conn| {
        let known = repository::dispatch(conn, id)?.is_some();
        Ok(known.then_some(repository::reasons(conn, id)?))
    });
    let groups = found.await?.ok_or_else(|| Problem::not_found(UNKNOWN))?;
    let items = groups.into_iter().map(Reason::from).collect();
    Ok(Json(Items { items }))
}
