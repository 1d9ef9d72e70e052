//! The bearer token, compared in constant time.

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use super::Api;
use super::problem::Problem;

/// Lets a request pass if no token is configured or if it brings the right one (RFC 6750 2.1).
pub(super) async fn require_token(State(api): State<Api>, request: Request, next: Next) -> Response {
    let Some(wanted) = &api.token else {
        return next.run(request).await;
    };
    let given = request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok());
    let given = given.and_then(|v| {
        let (scheme, token) = v.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match given {
        Some(token) if bool::from(token.as_bytes().ct_eq(wanted.expose_secret().as_bytes())) => {
            next.run(request).await
        }
        _ => Problem::unauthorized().into_response(),
    }
}
