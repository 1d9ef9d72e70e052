//! Pause, resume and cancel: written down for whoever works on the dispatch.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{NaiveDateTime, Utc};

use super::Api;
use super::dispatches::{UNKNOWN, named};
use super::extract::Segment;
use super::problem::Problem;
use crate::domain::{DispatchId, DispatchStatus};
use crate::message::MessageKind;
use crate::repository::{self, AnyConnection, DbError, Steered};

/// One of the three requests to the ledger.
type Request = fn(&mut AnyConnection, DispatchId, NaiveDateTime) -> Result<Steered, DbError>;

/// Stop sending until it is resumed
#[utoipa::path(post, path = "/api/v1/dispatches/{id}/pause", tag = "dispatches",
    params(("id" = String, Path, format = "uuid")),
    responses((status = 202, description = "it stops within 2 s"),
              (status = 404, description = "there is none with this id"),
              (status = 409, description = "it is closed, or paused already")))]
pub(super) async fn pause(State(api): State<Api>, Segment(id): Segment) -> Result<StatusCode, Problem> {
    steer(&api, &id, repository::request_pause).await
}

/// Go on with a dispatch that was paused
#[utoipa::path(post, path = "/api/v1/dispatches/{id}/resume", tag = "dispatches",
    params(("id" = String, Path, format = "uuid")),
    responses((status = 202, description = "it goes on"),
              (status = 404, description = "there is none with this id"),
              (status = 409, description = "it is not paused")))]
pub(super) async fn resume(State(api): State<Api>, Segment(id): Segment) -> Result<StatusCode, Problem> {
    steer(&api, &id, repository::request_resume).await
}

/// End a dispatch; whom it has not reached yet is not told
#[utoipa::path(post, path = "/api/v1/dispatches/{id}/cancel", tag = "dispatches",
    params(("id" = String, Path, format = "uuid")),
    responses((status = 202, description = "it ends within 2 s"),
              (status = 404, description = "there is none with this id"),
              (status = 409, description = "it is closed")))]
pub(super) async fn cancel(State(api): State<Api>, Segment(id): Segment) -> Result<StatusCode, Problem> {
    steer(&api, &id, repository::request_cancel).await
}

async fn steer(api: &Api, id: &str, request: Request) -> Result<StatusCode, Problem> {
    let id = named(id)?;
    let now = Utc::now().naive_utc();
    match api.db.write(move |conn| request(conn, id, now)).await? {
        Steered::Accepted => Ok(StatusCode::ACCEPTED),
        Steered::Closed { kind, counts } => {
            // A type that this release does not know has no watchers either.
            if let Some(kind) = MessageKind::from_word(&kind) {
                let tally = counts.iter().collect();
                api.live
                    .dispatch_closed(id, kind.as_str(), DispatchStatus::Cancelled, tally);
            }
            Ok(StatusCode::ACCEPTED)
        }
        Steered::NotFound => Err(Problem::not_found(UNKNOWN)),
        Steered::MakesNoSense => Err(Problem::conflict("not in the state in which the dispatch is")),
    }
}
