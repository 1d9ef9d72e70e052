//! What the relay asks of the outbox, and what people see of it. A row that is taken up is claimed with a fresh
//! token; who does not renew it for [`CLAIM`], by the database's clock, has lost it. So a row may be worked on
//! twice, and is never forgotten: copies of a notice are allowed, losses are not.

use chrono::{NaiveDateTime, TimeDelta};
use diesel::dsl::count_star;
use diesel::prelude::*;

use super::clock::{schedule_time, set_back};
use super::connection::AnyConnection;
use super::error::DbError;
use super::schema::completions;
use crate::domain::{DispatchId, LeaseToken};

type Backend = <AnyConnection as Connection>::Backend;

/// How long a claim that is not renewed counts.
const CLAIM: TimeDelta = TimeDelta::minutes(5);

/// Rows looked at in one round.
const ROUND: i64 = 1_000;

/// No next time is further off; one that is comes from a clock that was set back.
const LONGEST: TimeDelta = TimeDelta::minutes(10);

/// A row of the outbox that is due.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = completions)]
pub struct Completion {
    /// `sqs_notifications:pending:{recipe_id}:{bundle_id}`
    #[diesel(column_name = completion_key)]
    pub key: String,
    /// The dispatch that was closed.
    pub dispatch_id: String,
    /// What kind of work it was.
    pub recipe_id: String,
    /// JSON: `bundle_ref`, `metadata`, `timestamp`.
    pub value: String,
    /// Whether a notice is due, and not the bundle alone.
    pub notice: bool,
    /// Names of the targets that have the notice, with commas.
    pub published: String,
    /// How often it failed.
    pub attempts: i32,
    /// When it was due; another time than before says that the dispatch was closed again.
    pub next_at: NaiveDateTime,
    /// Whose claim it is, where there is one.
    pub claim_token: Option<String>,
    /// Which process has it.
    pub claim_holder: Option<String>,
    /// Since when, or when it was renewed.
    pub claimed_at: Option<NaiveDateTime>,
}

impl Completion {
    /// The dispatch that was closed.
    pub fn dispatch(&self) -> Result<DispatchId, DbError> {
        self.dispatch_id
            .parse()
            .map_err(|e| DbError::Fault(format!("completions.dispatch_id: {e}")))
    }
}

/// Rows whose time has come, the longest waiting first, and that nobody is at: `gone` says of a process whether
/// it is certainly no more.
pub fn completions_due(
    conn: &mut AnyConnection,
    now: NaiveDateTime,
    limit: usize,
    gone: impl Fn(&str) -> bool,
) -> Result<Vec<Completion>, DbError> {
    let now = schedule_time(conn, now)?;
    let due: Vec<Completion> = completions::table
        .filter(
            completions::next_at
                .le(now)
                .or(completions::next_at.gt(now + LONGEST)),
        )
        .order((completions::next_at, completions::dispatch_id))
        .select(Completion::as_select())
        .limit(ROUND)
        .load(conn)?;
    let free = due.into_iter().filter(|row| is_free(row, now, &gone));
    Ok(free.take(limit).collect())
}

/// The row of one dispatch, whether it is due or not; none where there is none, or somebody is at it.
pub fn completion_of(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    now: NaiveDateTime,
    gone: impl Fn(&str) -> bool,
) -> Result<Option<Completion>, DbError> {
    let now = schedule_time(conn, now)?;
    let row: Option<Completion> = completions::table
        .filter(completions::dispatch_id.eq(dispatch.to_string()))
        .select(Completion::as_select())
        .first(conn)
        .optional()?;
    Ok(row.filter(|row| is_free(row, now, &gone)))
}

fn is_free(row: &Completion, now: NaiveDateTime, gone: impl Fn(&str) -> bool) -> bool {
    match (&row.claim_holder, row.claimed_at) {
        (Some(holder), Some(at)) => at < now - CLAIM || at > set_back(now) || gone(holder),
        _ => true,
    }
}

/// Claims a row that still looks as `seen`; false: somebody was faster.
pub fn claim_completion(
    conn: &mut AnyConnection,
    seen: &Completion,
    token: LeaseToken,
    holder: &str,
    now: NaiveDateTime,
) -> Result<bool, DbError> {
    let now = schedule_time(conn, now)?;
    let row = completions::table.find(&seen.key);
    let set = (
        completions::claim_token.eq(Some(token.to_string())),
        completions::claim_holder.eq(Some(holder)),
        completions::claimed_at.eq(Some(now)),
    );
    let claimed = match &seen.claim_token {
        Some(other) => diesel::update(row.filter(completions::claim_token.eq(other)))
            .set(set)
            .execute(conn)?,
        None => diesel::update(row.filter(completions::claim_token.is_null()))
            .set(set)
            .execute(conn)?,
    };
    Ok(claimed == 1)
}

/// A sign of life.
pub fn renew_completion(
    conn: &mut AnyConnection,
    key: &str,
    token: LeaseToken,
    now: NaiveDateTime,
) -> Result<(), DbError> {
    let now = schedule_time(conn, now)?;
    let mine = completions::table
        .find(key)
        .filter(completions::claim_token.eq(token.to_string()));
    diesel::update(mine)
        .set(completions::claimed_at.eq(Some(now)))
        .execute(conn)?;
    Ok(())
}

/// All is done: the row goes. If the dispatch was closed again meanwhile it stays, for the bundle alone, and is
/// free.
pub fn completion_done(
    conn: &mut AnyConnection,
    seen: &Completion,
    token: LeaseToken,
) -> Result<(), DbError> {
    let mine = || {
        let row = completions::table.find(&seen.key);
        row.filter(completions::claim_token.eq(token.to_string()))
    };
    if diesel::delete(mine().filter(completions::next_at.eq(seen.next_at))).execute(conn)? == 1 {
        return Ok(());
    }
    diesel::update(completions::table.find(&seen.key))
        .set(completions::notice.eq(false))
        .execute(conn)?;
    diesel::update(mine())
        .set((
            completions::claim_token.eq(None::<String>),
            completions::claim_holder.eq(None::<String>),
            completions::claimed_at.eq(None::<NaiveDateTime>),
        ))
        .execute(conn)?;
    Ok(())
}

/// It failed for now: it is due again `wait` later. `published`: the targets that have the notice by now.
pub fn completion_failed(
    conn: &mut AnyConnection,
    key: &str,
    token: LeaseToken,
    (error, published): (&str, &str),
    wait: TimeDelta,
    now: NaiveDateTime,
) -> Result<(), DbError> {
    let now = schedule_time(conn, now)?;
    let mine = completions::table
        .find(key)
        .filter(completions::claim_token.eq(token.to_string()));
    diesel::update(mine)
        .set((
            completions::attempts.eq(completions::attempts + 1),
            completions::error.eq(Some(error)),
            completions::published.eq(published),
            completions::next_at.eq(now + wait),
            completions::claim_token.eq(None::<String>),
            completions::claim_holder.eq(None::<String>),
            completions::claimed_at.eq(None::<NaiveDateTime>),
        ))
        .execute(conn)?;
    Ok(())
}

/// What a process that ends had claimed is free.
pub fn completion_released(conn: &mut AnyConnection, tokens: &[LeaseToken]) -> Result<(), DbError> {
    let tokens: Vec<String> = tokens.iter().map(ToString::to_string).collect();
    diesel::update(completions::table.filter(completions::claim_token.eq_any(tokens)))
        .set((
            completions::claim_token.eq(None::<String>),
            completions::claim_holder.eq(None::<String>),
            completions::claimed_at.eq(None::<NaiveDateTime>),
        ))
        .execute(conn)?;
    Ok(())
}

/// How many rows are pending.
pub fn completions_pending(conn: &mut AnyConnection) -> Result<u64, DbError> {
    let count: i64 = completions::table.count().get_result(conn)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// A pending row, for people.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = completions)]
pub struct CompletionView {
    /// `sqs_notifications:pending:{recipe_id}:{bundle_id}`
    #[diesel(column_name = completion_key)]
    pub key: String,
    /// The dispatch, whose bundle has the same id.
    pub dispatch_id: String,
    /// What kind of work it was.
    pub recipe_id: String,
    /// Whether a notice is due, and not the bundle alone.
    pub notice: bool,
    /// How often it failed.
    pub attempts: i32,
    /// When it is tried, or was to be.
    pub next_at: NaiveDateTime,
    /// Why it failed last.
    pub error: Option<String>,
    /// When the dispatch was closed.
    pub created_at: NaiveDateTime,
}

/// One page of the pending rows, newest first, and how many there are. `page` counts from 1.
pub fn completion_page(
    conn: &mut AnyConnection,
    recipe: Option<&str>,
    page: u32,
    page_size: u32,
) -> Result<(Vec<CompletionView>, i64), DbError> {
    let mut counted = completions::table.select(count_star()).into_boxed::<Backend>();
    let mut listed = completions::table
        .select(CompletionView::as_select())
        .into_boxed::<Backend>();
    if let Some(recipe) = recipe {
        counted = counted.filter(completions::recipe_id.eq(recipe.to_owned()));
        listed = listed.filter(completions::recipe_id.eq(recipe.to_owned()));
    }
    let total = counted.first(conn)?;
    let items = listed
        .order(completions::dispatch_id.desc())
        .limit(i64::from(page_size))
        .offset(i64::from(page.saturating_sub(1)) * i64::from(page_size))
        .load(conn)?;
    Ok((items, total))
}

/// Makes pending rows due now; returns how many.
pub fn retry_completions(
    conn: &mut AnyConnection,
    recipe: Option<&str>,
    now: NaiveDateTime,
) -> Result<usize, DbError> {
    let now = schedule_time(conn, now)?;
    let due = completions::next_at.eq(now);
    Ok(match recipe {
        Some(recipe) => diesel::update(completions::table.filter(completions::recipe_id.eq(recipe)))
            .set(due)
            .execute(conn)?,
        None => diesel::update(completions::table).set(due).execute(conn)?,
    })
}
