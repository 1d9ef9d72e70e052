//! Missed people back to work.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;

use super::Api;
use super::dispatches::{UNKNOWN, named};
use super::extract::Segment;
use super::problem::Problem;
use crate::domain::NotificationId;
use crate::repository::{self, Retried};

/// Send one notification again; of many requests at the same time one gets 202
#[utoipa::path(post, path = "/api/v1/notifications/retry/{id}", tag = "notifications",
    params(("id" = i64, Path, minimum = 1)),
    responses((status = 202, description = "it is back to work"),
              (status = 404, description = "there is none with this id"),
              (status = 409, description = "it is neither failed nor unknown")))]
pub(super) async fn notification(
    State(api): State<Api>,
    Segment(id): Segment,
) -> Result<StatusCode, Problem> {
    let unknown = "there is no notification with this id";
    let id = id.parse().map_err(|_| Problem::not_found(unknown))?;
    let now = Utc::now().naive_utc();
    let retried = api
        .db
        .write(move |conn| repository::retry_notification(conn, NotificationId(id), now));
    answer(retried.await?, unknown)
}

/// Send again what is failed or unknown of a dispatch
#[utoipa::path(post, path = "/api/v1/dispatches/{id}/retry", tag = "dispatches",
    params(("id" = String, Path, format = "uuid")),
    responses((status = 202, description = "they are back to work"),
              (status = 404, description = "there is none with this id"),
              (status = 409, description = "nothing of it is failed or unknown")))]
pub(super) async fn dispatch(State(api): State<Api>, Segment(id): Segment) -> Result<StatusCode, Problem> {
    let id = named(&id)?;
    let now = Utc::now().naive_utc();
    let retried = api
        .db
        .write(move |conn| repository::retry_dispatch(conn, id, now));
    answer(retried.await?, UNKNOWN)
}

fn answer(retried: Retried, unknown: &str) -> Result<StatusCode, Problem> {
    match retried {
        Retried::Accepted(_) => Ok(StatusCode::ACCEPTED),
        Retried::NotFound => Err(Problem::not_found(unknown)),
        Retried::NothingToRetry => Err(Problem::conflict("nothing of it is failed or unknown")),
    }
}
