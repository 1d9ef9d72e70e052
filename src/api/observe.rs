//! What happens around every request: it has an id, an end, and a line in the log.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::Instrument;
use uuid::Uuid;

use super::problem::Problem;

/// Time for one answer.
const ANSWER: Duration = Duration::from_secs(30);

/// Longest id that is taken over.
const MAX_ID: usize = 128;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request an id, the client's if it is a plain one; logs how it ended; and tells clients to keep
/// nothing and to guess no types, where the answer does not say otherwise.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = given_id(request.headers()).unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("request", request.id = id);
    let mut response = bounded(request, next).instrument(span.clone()).await;
    let status = response.status().as_u16();
    let ms = begun.elapsed().as_secs_f64() * 1000.0;
    span.in_scope(|| tracing::debug!(%method, path, status, ms, "answered"));
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers
        .entry(X_CONTENT_TYPE_OPTIONS)
        .or_insert(HeaderValue::from_static("nosniff"));
    response
}

/// A handler that does not come to an end, or to a bad one, has an answer nevertheless.
async fn bounded(request: Request, next: Next) -> Response {
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!("answering a request failed unexpectedly");
            Problem::unexpected().into_response()
        }
        Err(_) => Problem::late().into_response(),
    }
}

fn given_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    ((1..=MAX_ID).contains(&id.len()) && id.bytes().all(plain)).then(|| id.to_owned())
}
