//! Replays: many notifications that failed, or of which nobody knows, back to work. Each is reopened at most
//! once; a request that comes again with its `Idempotency-Key` gets its first answer and does nothing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::Api;
use super::extract::Body;
use super::problem::Problem;
use crate::domain::NotificationStatus;
use crate::repository::{self, AnyConnection, DbError, Once, ReplayFilter, Replayable};

/// Notifications reopened at most, unless said otherwise, and at all.
const LIMIT: (u32, u32) = (1_000, 10_000);

/// How often somebody else may be in the way.
const TRIES: usize = 10;

/// What is to be sent again.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `parse` takes")]
pub(super) struct Replay {
    #[schema(nullable)]
    filter: Option<Filter>,
    /// How many at most.
    #[schema(minimum = 1, maximum = 10_000, default = 1_000)]
    limit: Option<u32>,
    /// Only tell how many fit.
    dry_run: Option<bool>,
}

/// What fits every field that is set.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `parse` takes")]
pub(super) struct Filter {
    #[schema(format = "uuid")]
    dispatch_id: Option<String>,
    #[schema(pattern = "^(failed|unknown)$")]
    status: Option<String>,
    /// Those that failed, or of which nobody knows, since then.
    #[schema(format = "date-time")]
    since: Option<String>,
    #[schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    tenant_id: Option<String>,
}

/// What became of it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Replayed {
    /// How many fitted.
    matched: u64,
    /// How many of them are back to work.
    replayed: u64,
}

#[derive(Debug, Default)]
struct Wanted {
    filter: ReplayFilter,
    limit: Option<u32>,
    dry_run: bool,
}

/// Send again what failed or of what nobody knows, the oldest first
#[utoipa::path(post, path = "/api/v1/replays", tag = "notifications", request_body = Replay,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
            description = "the same key with the same body gives the first answer again, for 24 hours; \
                           not looked at in a dry run")),
    responses((status = 200, description = "how many", body = Replayed),
              (status = 409, description = "the key came before with another body")))]
pub(super) async fn create(State(api): State<Api>, body: Body) -> Result<Json<Replayed>, Problem> {
    let members = body.object()?;
    let hash = digest(&[&canonical(&members)]);
    let wanted = parse(members)?;
    let key = body.key()?.map(|key| digest(&["replays", key]));
    let now = Utc::now().naive_utc();
    // Looked for before, so that nobody waits meanwhile; each is looked at again when it is reopened.
    let (filter, limit) = (wanted.filter, wanted.limit.unwrap_or(LIMIT.0));
    let found = api
        .db
        .read(move |conn| repository::replayable(conn, &filter, limit));
    let found = Arc::new(found.await?);
    if wanted.dry_run {
        let matched = found.matched;
        return Ok(Json(Replayed { matched, replayed: 0 }));
    }
    for _ in 0..TRIES {
        let (found, key, hash) = (Arc::clone(&found), key.clone(), hash.clone());
        let done = api.db.write(move |conn| match key {
            Some(key) => repository::once(conn, &key, &hash, now, |conn| work(conn, &found, now)),
            None => work(conn, &found, now).map(Once::Done),
        });
        match done.await {
            Ok(Once::Done(answer) | Once::Before(answer)) => {
                let replayed = serde_json::from_str(&answer).map_err(|_| Problem::unexpected())?;
                return Ok(Json(replayed));
            }
            Ok(Once::OtherBody) => {
                return Err(Problem::conflict(
                    "the Idempotency-Key came before with another body",
                ));
            }
            Err(DbError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(DbError::Conflict("others are in the way all the time".into()).into())
}

/// The answer as JSON, in the transaction that does what it says.
fn work(conn: &mut AnyConnection, found: &Replayable, now: NaiveDateTime) -> Result<String, DbError> {
    let replayed = Replayed {
        matched: found.matched,
        replayed: repository::replay(conn, found, now)? as u64,
    };
    serde_json::to_string(&replayed).map_err(|e| DbError::Fault(e.to_string()))
}

fn parse(members: Map<String, Value>) -> Result<Wanted, Problem> {
    let mut wanted = Wanted::default();
    for (name, value) in members {
        match (name.as_str(), value) {
            ("filter" | "limit" | "dry_run", Value::Null) => {}
            ("filter", Value::Object(members)) => wanted.filter = filter(members)?,
            ("filter", _) => return Err(Problem::bad_field("filter", "is not an object")),
            ("limit", value) => {
                let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
                let takes = format!("takes an integer from 1 to {}", LIMIT.1);
                let number = number.filter(|n| (1..=LIMIT.1).contains(n));
                wanted.limit = Some(number.ok_or_else(|| Problem::bad_field("limit", &takes))?);
            }
            ("dry_run", Value::Bool(dry)) => wanted.dry_run = dry,
            ("dry_run", _) => return Err(Problem::bad_field("dry_run", "takes true or false")),
            (other, _) => return Err(Problem::bad_field(other, "is not a field here")),
        }
    }
    Ok(wanted)
}

fn filter(members: Map<String, Value>) -> Result<ReplayFilter, Problem> {
    let mut filter = ReplayFilter::default();
    for (name, value) in members {
        let path = format!("filter.{name}");
        let text = match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            _ => return Err(Problem::bad_field(&path, "is not a string")),
        };
        let known = ["dispatch_id", "status", "since", "tenant_id"].contains(&name.as_str());
        let Some(text) = text.filter(|_| known) else {
            if known {
                continue;
            }
            return Err(Problem::bad_field(&path, "is not a field here"));
        };
        let wrong = |takes: &str| Problem::bad_field(&path, takes);
        match name.as_str() {
            "dispatch_id" => filter.dispatch_id = Some(text.parse().map_err(|_| wrong("takes a UUID"))?),
            "status" => {
                let status = text.parse().ok();
                let retryable = |s: &NotificationStatus| {
                    matches!(s, NotificationStatus::Failed | NotificationStatus::Unknown)
                };
                filter.status = Some(
                    status
                        .filter(retryable)
                        .ok_or_else(|| wrong("takes failed or unknown"))?,
                );
            }
            "since" => {
                let time = DateTime::parse_from_rfc3339(&text).map(|t| t.with_timezone(&Utc).naive_utc());
                filter.since = Some(time.map_err(|_| wrong("takes a time such as 2026-12-01T18:00:00Z"))?);
            }
            _ => filter.tenant_id = Some(text.parse().map_err(|_| wrong("takes a tenant's id"))?),
        }
    }
    Ok(filter)
}

/// The same text for the same body, in whatever order its fields stand.
fn canonical(members: &Map<String, Value>) -> String {
    let mut value = Value::Object(members.clone());
    value.sort_all_objects();
    value.to_string()
}

fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hex::encode(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(json!({"filter": 1}), "filter")]
    #[case(json!({"limit": 0}), "limit")]
    #[case(json!({"limit": 10_001}), "limit")]
    #[case(json!({"limit": "7"}), "limit")]
    #[case(json!({"dry_run": 1}), "dry_run")]
    #[case(json!({"dry": true}), "dry")]
    #[case(json!({"filter": {"status": "sent"}}), "filter.status")]
    #[case(json!({"filter": {"dispatch_id": "7"}}), "filter.dispatch_id")]
    #[case(json!({"filter": {"since": "yesterday"}}), "filter.since")]
    #[case(json!({"filter": {"tenant_id": ".."}}), "filter.tenant_id")]
    #[case(json!({"filter": {"tenant_id": 7}}), "filter.tenant_id")]
    #[case(json!({"filter": {"event_id": null}}), "filter.event_id")]
    fn what_is_wrong_is_named(#[case] body: Value, #[case] field: &str) {
        let problem = parse(body.as_object().unwrap().clone()).unwrap_err();
        assert_eq!(problem.field.as_deref(), Some(field));
    }

    #[test]
    fn equal_bodies_in_any_order() {
        let canonical = |text: &str| super::canonical(&serde_json::from_str(text).unwrap());
        let one = canonical(r#"{"limit": 1, "filter": {"status": "failed", "since": null}}"#);
        assert_eq!(
            one,
            canonical(r#"{"filter": {"since": null, "status": "failed"}, "limit": 1}"#)
        );
        assert_ne!(one, canonical(r#"{"limit": 2}"#));
    }
}
