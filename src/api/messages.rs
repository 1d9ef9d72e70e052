//! Messages by HTTP: checked as the consumer checks, then published as Herald's publishers do. 202 means that
//! the broker has confirmed it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::extract::Body;
use super::problem::Problem;
use crate::message::{self, Reason, Refusal};

/// Longest wait for the broker.
const PUBLISH: Duration = Duration::from_secs(10);

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Published {
    /// By which its dispatch can be found.
    message_id: String,
}

/// Publish a message to the queue
///
/// An `Idempotency-Key` becomes the `message_id`, by which the ledger knows it again: the same key with the same
/// body is sent once however often it is published, and with another body it becomes a dead letter
/// (`message-id-conflict`).
#[utoipa::path(post, path = "/api/v1/messages", tag = "messages",
    request_body(content = Object, description = "a message of any type",
        example = json!({"type": "UPDATED", "event_id": 123})),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses((status = 202, description = "the broker has it", body = Published),
              (status = 422, description = "the consumer would not take it")))]
pub(super) async fn create(
    State(api): State<Api>,
    body: Body,
) -> Result<(StatusCode, Json<Published>), Problem> {
    let key = body.key()?.map(str::to_owned);
    let bytes = body.json_bytes()?.to_vec();
    message::parse(&bytes).map_err(refused)?;
    let message_id = key.unwrap_or_else(|| Uuid::new_v4().to_string());
    let id = message_id.clone();
    let publish = async move { api.publisher.publish(&bytes, &id).await };
    match tokio::time::timeout(PUBLISH, publish).await {
        Ok(Ok(())) => Ok((StatusCode::ACCEPTED, Json(Published { message_id }))),
        Ok(Err(error)) => Err(Problem::broker(&error.to_string())),
        Err(_) => Err(Problem::broker(
            "it did not confirm the message in time; it may have it nevertheless",
        )),
    }
}

fn refused(refusal: Refusal) -> Problem {
    match refusal.reason {
        Reason::InvalidJson => Problem::bad_body(&refusal.error),
        Reason::TooLarge => Problem::too_large(&refusal.error),
        _ => Problem::invalid_message(&refusal.error, refusal.field),
    }
}
