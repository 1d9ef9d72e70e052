//! Dead letters: looked at, replayed, dropped. What looks at them does so one after the other in this process,
//! as letters that one looks at are hidden from the next.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use chrono::Utc;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::Body;
use super::paging::Page;
use super::problem::Problem;
use super::query::Query;
use crate::consumer::{Letter, Redrive, Redriven};
use crate::message::Reason;

/// How long one look waits for another.
const WAIT: Duration = Duration::from_secs(10);

/// Letters looked at by one request.
const LOOKED: u32 = 10_000;

/// A dead letter. What its header does not say is null; texts are cleaned to one line.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetter {
    message_id: Option<String>,
    reason: Option<String>,
    error: Option<String>,
    /// How often its dispatch was started.
    attempts: Option<i64>,
    dead_at: Option<String>,
    dispatch_id: Option<String>,
    /// The body's size.
    bytes: usize,
    /// The body's beginning.
    body: String,
}

impl From<Letter> for DeadLetter {
    fn from(letter: Letter) -> Self {
        Self {
            message_id: letter.message_id,
            reason: letter.reason,
            error: letter.error,
            attempts: letter.attempts,
            dead_at: letter.dead_at,
            dispatch_id: letter.dispatch_id,
            bytes: letter.bytes,
            body: letter.body,
        }
    }
}

/// Which letters.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `list` takes")]
pub(super) struct Which {
    #[param(inline)]
    reason: Option<super::words::Reason>,
    #[param(minimum = 1, maximum = 1_000_000_000)]
    page: Option<u32>,
    #[param(minimum = 1, maximum = 100)]
    page_size: Option<u32>,
}

/// Dead letters, oldest first; none is taken away
///
/// The first 10,000 are looked at; of more only the number is known, and with a reason not even that.
#[utoipa::path(get, path = "/api/v1/dead-letters", tag = "dead letters", params(Which),
    responses((status = 200, description = "one page", body = Page<DeadLetter>),
              (status = 409, description = "another look is under way")))]
pub(super) async fn list(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<DeadLetter>>, Problem> {
    let mut query = Query::new(query.as_deref())?;
    let reason: Option<Reason> = query.word("reason")?;
    let paging = query.paging()?;
    query.end()?;
    let upto = paging.page.saturating_mul(paging.size);
    let limit = if reason.is_some() {
        LOOKED
    } else {
        upto.min(LOOKED)
    };
    let turn = turn(&api).await?;
    let listing = task(async move {
        let _turn = turn;
        api.queue.letters(reason, limit).await
    });
    let listing = listing.await?.map_err(|e| Problem::broker(&e.to_string()))?;
    let total = match reason {
        Some(_) => i64::try_from(listing.letters.len()).unwrap_or(i64::MAX),
        None => listing.there.into(),
    };
    let before = upto.saturating_sub(paging.size) as usize;
    let shown = listing.letters.into_iter().skip(before);
    let items = shown.take(paging.size as usize).map(DeadLetter::from);
    Ok(Json(Page::new(items.collect(), paging, total)))
}

/// Which letters; all without a reason.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `wanted` takes")]
pub(super) struct These {
    #[schema(inline)]
    reason: Option<super::words::Reason>,
}

/// What became of them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Back {
    /// Letters that are back in the main queue, or whose dispatch is back to work.
    replayed: u32,
    /// Letters with another reason.
    left: u32,
}

/// What became of them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Gone {
    /// Letters that are gone for good.
    dropped: u32,
    /// Letters with another reason.
    left: u32,
}

/// Put dead letters back into the main queue
#[utoipa::path(post, path = "/api/v1/dead-letters/replay", tag = "dead letters",
    request_body(content = Option<These>, content_type = "application/json"),
    responses((status = 200, description = "how many", body = Back),
              (status = 409, description = "another look is under way")))]
pub(super) async fn replay(State(api): State<Api>, body: Body) -> Result<Json<Back>, Problem> {
    let what = Redrive::Replay(api.db.clone(), Utc::now().naive_utc());
    let redriven = redrive(api, what, wanted(&body)?, "replayed").await?;
    Ok(Json(Back {
        replayed: redriven.done,
        left: redriven.others,
    }))
}

/// Remove dead letters for good
#[utoipa::path(post, path = "/api/v1/dead-letters/drop", tag = "dead letters",
    request_body(content = Option<These>, content_type = "application/json"),
    responses((status = 200, description = "how many", body = Gone),
              (status = 409, description = "another look is under way")))]
pub(super) async fn drop(State(api): State<Api>, body: Body) -> Result<Json<Gone>, Problem> {
    let redriven = redrive(api, Redrive::Drop, wanted(&body)?, "dropped").await?;
    Ok(Json(Gone {
        dropped: redriven.done,
        left: redriven.others,
    }))
}

async fn redrive(
    api: Api,
    what: Redrive,
    reason: Option<Reason>,
    done: &'static str,
) -> Result<Redriven, Problem> {
    let turn = turn(&api).await?;
    let redriven = task(async move {
        let _turn = turn;
        api.queue.redrive(&what, reason, |_, _| {}).await
    });
    let redriven = redriven.await?;
    match &redriven.error {
        None => Ok(redriven),
        Some(error) => Err(Problem::broker(&format!(
            "{error}; until then {} were {done}, and the rest is in place",
            redriven.done
        ))),
    }
}

fn wanted(body: &Body) -> Result<Option<Reason>, Problem> {
    let mut reason = None;
    for (name, value) in body.object_or_nothing()? {
        match (name.as_str(), value) {
            ("reason", Value::Null) => {}
            ("reason", Value::String(word)) => {
                let parsed = word.parse::<Reason>();
                let wrong = |e| Problem::bad_field("reason", &format!("is not valid: {e}"));
                reason = Some(parsed.map_err(wrong)?);
            }
            ("reason", _) => return Err(Problem::bad_field("reason", "is not a string")),
            (other, _) => return Err(Problem::bad_field(other, "is not a field here")),
        }
    }
    Ok(reason)
}

/// One look at a time: two would hide letters from each other. Whoever waits here has done nothing yet.
async fn turn(api: &Api) -> Result<OwnedMutexGuard<()>, Problem> {
    let waiting = Arc::clone(&api.letters).lock_owned();
    let turn = tokio::time::timeout(WAIT, waiting).await;
    turn.map_err(|_| Problem::conflict("another look into the dead letters is under way: try again"))
}

/// Ends its work even if the client is gone: what is half done would be hard to tell.
async fn task<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Problem> {
    tokio::spawn(work).await.map_err(|_| Problem::unexpected())
}
