//! The bearer token, compared in constant time.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use super::Api;
use super::origin::is_welcome;
use super::problem::Problem;

/// Lets a request pass if no token is configured or if it brings the right one (RFC 6750 2.1), and no page of
/// another origin wants to change something: without a token, any page in the operator's browser could.
pub(super) async fn require_token(State(api): State<Api>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !brings_token(&api, headers) {
        return Problem::unauthorized().into_response();
    }
    if !request.method().is_safe() && !is_welcome(headers, &api.allowed_origins) {
        return Problem::foreign_origin().into_response();
    }
    next.run(request).await
}

/// Whether no token is configured or the right one is in `Authorization`.
pub(super) fn brings_token(api: &Api, headers: &HeaderMap) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok());
    let given = given.and_then(|v| {
        let (scheme, token) = v.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    is_right(api, given)
}

/// The same for `Sec-WebSocket-Protocol: <scheme>, <token>`: the one header of a WebSocket's beginning that a
/// page can set.
pub(super) fn offers_token(api: &Api, headers: &HeaderMap, scheme: &str) -> bool {
    let given = headers.get(SEC_WEBSOCKET_PROTOCOL).and_then(|v| v.to_str().ok());
    let given = given.and_then(|v| {
        let (first, token) = v.split_once(',')?;
        (first.trim() == scheme).then(|| token.trim())
    });
    is_right(api, given)
}

fn is_right(api: &Api, given: Option<&str>) -> bool {
    let Some(wanted) = &api.token else { return true };
    given.is_some_and(|token| token.as_bytes().ct_eq(wanted.expose_secret().as_bytes()).into())
}
