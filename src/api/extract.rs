//! The parts of a request, each refused as a problem where it is not what it has to be.

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde_json::{Map, Value};

use super::problem::Problem;

/// Longest body of a request: a message, and room to spare.
const MAX_REQUEST: usize = crate::message::MAX_BODY + 64 * 1024;
/// A longer one is read on up to here, and dropped: many clients listen only when they have said all.
const MAX_READ: usize = 8 * MAX_REQUEST;
/// Longest key, in characters: what fits into a `message_id`.
const MAX_KEY: usize = 255;
/// The header with a key.
const KEY: &str = "idempotency-key";

/// The one variable part of a path. What is not UTF-8 names nothing.
pub(super) struct Segment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(text)| Self(text))
            .map_err(|_| Problem::not_found("there is nothing at this address"))
    }
}

/// A body, read whole, and the headers that came with it.
pub(super) struct Body {
    bytes: Bytes,
    headers: HeaderMap,
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, mut body) = request.into_parts();
        let (mut bytes, mut seen) = (BytesMut::new(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::bad_body("the body ended early"))?;
            let Ok(data) = frame.into_data() else { continue };
            seen += data.len();
            if seen <= MAX_REQUEST {
                bytes.extend_from_slice(&data);
            } else if seen > MAX_READ {
                break;
            }
        }
        if seen > MAX_REQUEST {
            return Err(Problem::too_large(&format!(
                "{MAX_REQUEST} bytes at most are taken"
            )));
        }
        Ok(Self {
            bytes: bytes.freeze(),
            headers: parts.headers,
        })
    }
}

impl Body {
    /// The bytes of what says that it is JSON.
    pub(super) fn json_bytes(&self) -> Result<&[u8], Problem> {
        let kind = self.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let essence = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        let is_json = essence.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
        if is_json {
            Ok(&self.bytes)
        } else {
            Err(Problem::media_type())
        }
    }

    /// The members of a JSON object.
    pub(super) fn object(&self) -> Result<Map<String, Value>, Problem> {
        match serde_json::from_slice(self.json_bytes()?) {
            Ok(Value::Object(members)) => Ok(members),
            Ok(_) => Err(Problem::bad_body("the body is not a JSON object")),
            Err(error) => Err(Problem::bad_body(&format!("the body is not JSON: {error}"))),
        }
    }

    /// The same, where no body at all and null count as an empty object.
    pub(super) fn object_or_nothing(&self) -> Result<Map<String, Value>, Problem> {
        if self.bytes.is_empty() || self.json_bytes()?.trim_ascii() == b"null" {
            Ok(Map::new())
        } else {
            self.object()
        }
    }

    /// `Idempotency-Key`.
    pub(super) fn key(&self) -> Result<Option<&str>, Problem> {
        let mut given = self.headers.get_all(KEY).iter();
        let Some(first) = given.next() else {
            return Ok(None);
        };
        let text = first.to_str().ok().filter(|_| given.next().is_none());
        let fine =
            |key: &&str| (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        text.filter(fine).map(Some).ok_or_else(|| {
            let takes = format!("takes 1 to {MAX_KEY} visible ASCII characters, once");
            Problem::bad_header("Idempotency-Key", &takes)
        })
    }
}
