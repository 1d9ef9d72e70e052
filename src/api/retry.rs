//! Missed people back to work.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::Utc;

use super::Api;
use super::problem::Problem;
use crate::domain::{DispatchId, NotificationId};
use crate::repository::{self, Retried};

/// `POST /api/v1/notifications/retry/{id}`: of many requests at the same time one gets 202.
pub(super) async fn notification(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let unknown = "there is no notification with this id";
    let id = id.parse().map_err(|_| Problem::not_found(unknown))?;
    let now = Utc::now().naive_utc();
    let retried = api
        .db
        .write(move |conn| repository::retry_notification(conn, NotificationId(id), now));
    answer(retried.await?, unknown)
}

/// `POST /api/v1/dispatches/{id}/retry`
pub(super) async fn dispatch(State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let unknown = "there is no dispatch with this id";
    let id: DispatchId = id.parse().map_err(|_| Problem::not_found(unknown))?;
    let now = Utc::now().naive_utc();
    let retried = api
        .db
        .write(move |conn| repository::retry_dispatch(conn, id, now));
    answer(retried.await?, unknown)
}

fn answer(retried: Retried, unknown: &str) -> Result<StatusCode, Problem> {
    match retried {
        Retried::Accepted(_) => Ok(StatusCode::ACCEPTED),
        Retried::NotFound => Err(Problem::not_found(unknown)),
        Retried::NothingToRetry => Err(Problem::conflict("nothing of it is failed or unknown")),
    }
}
