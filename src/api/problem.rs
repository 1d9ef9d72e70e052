//! Errors as RFC 9457 wants them. The type of each kind never changes.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::repository::DbError;

/// An error answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Which kind of problem, for programs.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The same for people.
    title: &'static str,
    status: u16,
    /// What is wrong this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The parameter, header or field that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) field: Option<String>,
}

/// Status, type and title of each kind.
type Kind = (StatusCode, &'static str, &'static str);

const BAD_QUERY: Kind = (StatusCode::BAD_REQUEST, "urn:herald:bad-query", "Invalid query");
const BAD_BODY: Kind = (StatusCode::BAD_REQUEST, "urn:herald:bad-body", "Invalid body");
const BAD_HEADER: Kind = (StatusCode::BAD_REQUEST, "urn:herald:bad-header", "Invalid header");
const UNAUTHORIZED: Kind = (
    StatusCode::UNAUTHORIZED,
    "urn:herald:unauthorized",
    "A valid token is required",
);
const FOREIGN: Kind = (
    StatusCode::FORBIDDEN,
    "urn:herald:foreign-origin",
    "Not from this page",
);
const NOT_FOUND: Kind = (StatusCode::NOT_FOUND, "urn:herald:not-found", "Not found");
const METHOD: Kind = (
    StatusCode::METHOD_NOT_ALLOWED,
    "urn:herald:method-not-allowed",
    "Method not allowed",
);
const CONFLICT: Kind = (
    StatusCode::CONFLICT,
    "urn:herald:conflict",
    "This makes no sense now",
);
const TOO_LARGE: Kind = (
    StatusCode::PAYLOAD_TOO_LARGE,
    "urn:herald:too-large",
    "The body is too large",
);
const MEDIA_TYPE: Kind = (
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "urn:herald:media-type",
    "The body has to be JSON",
);
const INVALID: Kind = (
    StatusCode::UNPROCESSABLE_ENTITY,
    "urn:herald:invalid-message",
    "This is no valid message",
);
const TEMPLATES: Kind = (
    StatusCode::CONFLICT,
    "urn:herald:templates",
    "The templates cannot be used",
);
const UNEXPECTED: Kind = (
    StatusCode::INTERNAL_SERVER_ERROR,
    "urn:herald:unexpected",
    "Something went wrong here",
);
const BROKER: Kind = (
    StatusCode::SERVICE_UNAVAILABLE,
    "urn:herald:broker",
    "The broker does not do what is asked",
);
const DATABASE: Kind = (
    StatusCode::SERVICE_UNAVAILABLE,
    "urn:herald:database",
    "The database does not answer",
);
const LATE: Kind = (
    StatusCode::GATEWAY_TIMEOUT,
    "urn:herald:late",
    "This takes too long",
);

impl Problem {
    fn new((status, kind, title): Kind, detail: Option<&str>) -> Self {
        Self {
            kind,
            title,
            status: status.as_u16(),
            detail: detail.map(str::to_owned),
            field: None,
        }
    }

    fn of(kind: Kind, field: &str, takes: &str) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..Self::new(kind, Some(&format!("{field} {takes}")))
        }
    }

    /// 400: the query has a parameter that is unknown or malformed.
    pub(super) fn bad_query(field: &str, takes: &str) -> Self {
        Self::of(BAD_QUERY, field, takes)
    }

    /// 400: the body has a field that is unknown or malformed.
    pub(super) fn bad_field(field: &str, takes: &str) -> Self {
        Self::of(BAD_BODY, field, takes)
    }

    /// 400: a header is malformed.
    pub(super) fn bad_header(name: &str, takes: &str) -> Self {
        Self::of(BAD_HEADER, name, takes)
    }

    /// 400: the body is not what it has to be as a whole.
    pub(super) fn bad_body(detail: &str) -> Self {
        Self::new(BAD_BODY, Some(detail))
    }

    /// 401.
    pub(super) fn unauthorized() -> Self {
        Self::new(
            UNAUTHORIZED,
            Some("send the API token as `Authorization: Bearer …`"),
        )
    }

    /// 403: a page of another origin.
    pub(super) fn foreign_origin() -> Self {
        Self::new(
            FOREIGN,
            Some("HTTP_ALLOWED_ORIGINS names the origins whose pages may do this"),
        )
    }

    /// 400 or 426: it is no WebSocket's beginning.
    pub(super) fn no_websocket(status: StatusCode, detail: &str) -> Self {
        Self::new(
            (status, "urn:herald:no-websocket", "This is a WebSocket"),
            Some(detail),
        )
    }

    /// 404.
    pub(super) fn not_found(detail: &str) -> Self {
        Self::new(NOT_FOUND, Some(detail))
    }

    /// 405.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(METHOD, None)
    }

    /// 409.
    pub(super) fn conflict(detail: &str) -> Self {
        Self::new(CONFLICT, Some(detail))
    }

    /// 409: files of templates are wrong.
    pub(super) fn templates(detail: &str) -> Self {
        Self::new(TEMPLATES, Some(detail))
    }

    /// 413.
    pub(super) fn too_large(detail: &str) -> Self {
        Self::new(TOO_LARGE, Some(detail))
    }

    /// 415.
    pub(super) fn media_type() -> Self {
        Self::new(MEDIA_TYPE, Some("send it with `Content-Type: application/json`"))
    }

    /// 422: what the consumer would dead-letter.
    pub(super) fn invalid_message(detail: &str, field: Option<String>) -> Self {
        Self {
            field,
            ..Self::new(INVALID, Some(detail))
        }
    }

    /// 500: a fault of this program.
    pub(super) fn unexpected() -> Self {
        Self::new(UNEXPECTED, None)
    }

    /// 503: the broker.
    pub(super) fn broker(detail: &str) -> Self {
        tracing::warn!(error = detail, "a request could not be answered");
        Self::new(BROKER, Some(detail))
    }

    /// 504.
    pub(super) fn late() -> Self {
        Self::new(
            LATE,
            Some("it may be done nevertheless: look before you ask again"),
        )
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        tracing::warn!(%error, "a request could not be answered");
        Self::new(DATABASE, None)
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
