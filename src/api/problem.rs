//! Errors as RFC 9457 wants them.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::repository::DbError;

/// An error answer.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The parameter that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) field: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: Option<String>) -> Self {
        Self {
            kind,
            title,
            status: status.as_u16(),
            detail,
            field: None,
        }
    }

    /// 400: the query has a parameter that is unknown or malformed.
    pub(super) fn bad_query(field: &str, takes: &str) -> Self {
        let detail = Some(format!("{field} {takes}"));
        let problem = Self::new(
            StatusCode::BAD_REQUEST,
            "urn:herald:bad-query",
            "Invalid query",
            detail,
        );
        Self {
            field: Some(field.to_owned()),
            ..problem
        }
    }

    /// 403: a page of another origin.
    pub(super) fn foreign_origin() -> Self {
        let detail = Some("HTTP_ALLOWED_ORIGINS names the origins whose pages may do this".to_owned());
        let status = StatusCode::FORBIDDEN;
        Self::new(status, "urn:herald:foreign-origin", "Not from this page", detail)
    }

    /// 400 or 426: it is no WebSocket's beginning.
    pub(super) fn no_websocket(status: StatusCode, detail: &str) -> Self {
        let detail = Some(detail.to_owned());
        Self::new(status, "urn:herald:no-websocket", "This is a WebSocket", detail)
    }

    /// 404.
    pub(super) fn not_found(detail: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "urn:herald:not-found",
            "Not found",
            Some(detail.to_owned()),
        )
    }

    /// 405.
    pub(super) fn method_not_allowed() -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(
            status,
            "urn:herald:method-not-allowed",
            "Method not allowed",
            None,
        )
    }

    /// 409.
    pub(super) fn conflict(detail: &str) -> Self {
        let status = StatusCode::CONFLICT;
        Self::new(
            status,
            "urn:herald:conflict",
            "This makes no sense now",
            Some(detail.to_owned()),
        )
    }

    /// 500: a fault of this program.
    pub(super) fn unexpected() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "urn:herald:unexpected", "Something went wrong here", None)
    }

    /// 401.
    pub(super) fn unauthorized() -> Self {
        let detail = Some("send the API token as `Authorization: Bearer …`".to_owned());
        Self::new(
            StatusCode::UNAUTHORIZED,
            "urn:herald:unauthorized",
            "A valid token is required",
            detail,
        )
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        tracing::warn!(%error, "a request could not be answered");
        let (status, kind) = (StatusCode::SERVICE_UNAVAILABLE, "urn:herald:database");
        Self::new(status, kind, "The database does not answer", None)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
