//! Pausing, resuming and cancelling. What nobody works on is changed at once; of a dispatch that runs, the wish
//! is written down, and whoever holds its lease sees to it (rule R2). Nothing that was sent is ever taken back.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::clock::schedule_time;
use super::closing::{Counts, counts};
use super::connection::AnyConnection;
use super::cooldown;
use super::error::DbError;
use super::lease::under;
use super::outbox;
use super::pages::OPEN;
use super::schema::{dispatches, notifications};
use super::start::unmark;
use crate::domain::{DispatchId, DispatchStatus, LeaseToken, NotificationStatus};

/// What an operator may want of a dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// That it rests.
    Paused,
    /// That it ends.
    Cancelled,
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Steered {
    /// It is so, or will be in a moment.
    Accepted,
    /// Nobody worked on it, so that the wish itself closed it.
    Closed {
        /// The message's `type`.
        kind: String,
        /// What the ledger has of it.
        counts: Counts,
    },
    /// There is no such dispatch.
    NotFound,
    /// It is so already, or can never be.
    MakesNoSense,
}

impl Wanted {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Paused => DispatchStatus::Paused.as_str(),
            Self::Cancelled => DispatchStatus::Cancelled.as_str(),
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Paused, Self::Cancelled]
            .into_iter()
            .find(|w| w.as_str() == word)
    }
}

/// Lets a dispatch rest.
pub fn request_pause(
    conn: &mut AnyConnection,
    id: DispatchId,
    now: NaiveDateTime,
) -> Result<Steered, DbError> {
    lock(conn, id)?;
    if rest(conn, id, &[DispatchStatus::Waiting], now)? || want(conn, id, Wanted::Paused)? {
        return Ok(Steered::Accepted);
    }
    senseless(conn, id)
}

/// Ends a rest: a sweeper takes the dispatch up.
pub fn request_resume(
    conn: &mut AnyConnection,
    id: DispatchId,
    now: NaiveDateTime,
) -> Result<Steered, DbError> {
    lock(conn, id)?;
    let now = schedule_time(conn, now)?;
    let paused = dispatches::table
        .filter(dispatches::id.eq(id.to_string()))
        .filter(dispatches::status.eq(DispatchStatus::Paused.as_str()));
    let resumed = diesel::update(paused)
        .set((
            dispatches::status.eq(DispatchStatus::Waiting.as_str()),
            dispatches::due_at.eq(Some(now)),
            dispatches::updated_at.eq(now),
        ))
        .execute(conn)?;
    let about_to = dispatches::table
        .filter(dispatches::id.eq(id.to_string()))
        .filter(dispatches::status.eq(DispatchStatus::Running.as_str()))
        .filter(dispatches::wanted.eq(Wanted::Paused.as_str()));
    let kept = diesel::update(about_to)
        .set(dispatches::wanted.eq(None::<String>))
        .execute(conn)?;
    if resumed + kept > 0 {
        return Ok(Steered::Accepted);
    }
    senseless(conn, id)
}

/// Ends a dispatch: whoever was not yet mailed will not be.
pub fn request_cancel(
    conn: &mut AnyConnection,
    id: DispatchId,
    now: NaiveDateTime,
) -> Result<Steered, DbError> {
    lock(conn, id)?;
    let at_rest = [DispatchStatus::Waiting, DispatchStatus::Paused];
    if rest(conn, id, &at_rest, now)? {
        close(conn, id, now)?;
        let kind = dispatches::table
            .find(id.to_string())
            .select(dispatches::kind)
            .first(conn)?;
        let counts = counts(conn, id)?;
        return Ok(Steered::Closed { kind, counts });
    }
    if want(conn, id, Wanted::Cancelled)? {
        return Ok(Steered::Accepted);
    }
    senseless(conn, id)
}

/// A write that changes nothing takes the row's lock: between two looks at its status nobody changes it.
fn lock(conn: &mut AnyConnection, id: DispatchId) -> Result<(), DbError> {
    diesel::update(dispatches::table.find(id.to_string()))
        .set(dispatches::wanted.eq(dispatches::wanted))
        .execute(conn)?;
    Ok(())
}

/// Lets a dispatch that has one of these statuses rest; false if it has none of them.
fn rest(
    conn: &mut AnyConnection,
    id: DispatchId,
    from: &[DispatchStatus],
    now: NaiveDateTime,
) -> Result<bool, DbError> {
    let words: Vec<&str> = from.iter().map(|status| status.as_str()).collect();
    let at_rest = dispatches::table
        .filter(dispatches::id.eq(id.to_string()))
        .filter(dispatches::status.eq_any(words));
    let rested = diesel::update(at_rest)
        .set((
            dispatches::status.eq(DispatchStatus::Paused.as_str()),
            dispatches::wanted.eq(None::<String>),
            dispatches::due_at.eq(None::<NaiveDateTime>),
            dispatches::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(rested == 1)
}

/// Writes down what is wanted of a running dispatch; false where it does not run, or the same or more is wanted.
fn want(conn: &mut AnyConnection, id: DispatchId, wanted: Wanted) -> Result<bool, DbError> {
    let running = dispatches::table
        .filter(dispatches::id.eq(id.to_string()))
        .filter(dispatches::status.eq(DispatchStatus::Running.as_str()));
    let wish = dispatches::wanted.eq(wanted.as_str());
    let changed = match wanted {
        Wanted::Paused => diesel::update(running.filter(dispatches::wanted.is_null()))
            .set(wish)
            .execute(conn)?,
        Wanted::Cancelled => {
            let other = dispatches::wanted
                .is_null()
                .or(dispatches::wanted.ne(wanted.as_str()));
            diesel::update(running.filter(other)).set(wish).execute(conn)?
        }
    };
    Ok(changed == 1)
}

fn senseless(conn: &mut AnyConnection, id: DispatchId) -> Result<Steered, DbError> {
    let known: i64 = dispatches::table
        .filter(dispatches::id.eq(id.to_string()))
        .count()
        .get_result(conn)?;
    Ok(if known == 0 {
        Steered::NotFound
    } else {
        Steered::MakesNoSense
    })
}

/// What is wanted of running dispatches.
pub fn wanted(conn: &mut AnyConnection) -> Result<Vec<(DispatchId, Wanted)>, DbError> {
    let rows: Vec<(String, Option<String>)> = dispatches::table
        .filter(dispatches::status.eq(DispatchStatus::Running.as_str()))
        .filter(dispatches::wanted.is_not_null())
        .select((dispatches::id, dispatches::wanted))
        .load(conn)?;
    let known = rows.into_iter().filter_map(|(id, word)| {
        let wanted = Wanted::parse(&word?)?;
        Some((id.parse().ok()?, wanted))
    });
    Ok(known.collect())
}

/// Sees to what is wanted of a dispatch of ours, of which nothing is under way any more. If something else is
/// wanted by now, the lease counts as lost: whoever takes it looks again.
pub fn obey(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    token: LeaseToken,
    wanted: Wanted,
    now: NaiveDateTime,
) -> Result<Counts, DbError> {
    let mine = diesel::update(under(dispatch, token).filter(dispatches::wanted.eq(wanted.as_str())))
        .set((
            dispatches::status.eq(DispatchStatus::Paused.as_str()),
            dispatches::wanted.eq(None::<String>),
            dispatches::due_at.eq(None::<NaiveDateTime>),
            dispatches::updated_at.eq(now),
            dispatches::lease_token.eq(None::<String>),
            dispatches::lease_holder.eq(None::<String>),
            dispatches::vain_starts.eq(0),
        ))
        .execute(conn)?;
    if mine != 1 {
        return Err(DbError::LeaseLost);
    }
    unmark(conn, dispatch)?;
    if wanted == Wanted::Cancelled {
        close(conn, dispatch, now)?;
    }
    counts(conn, dispatch)
}

/// Sees to what was wanted of a dispatch that has just come to wait.
pub(super) fn obey_at_rest(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    now: NaiveDateTime,
) -> Result<(), DbError> {
    let word: Option<String> = dispatches::table
        .find(dispatch.to_string())
        .filter(dispatches::status.eq(DispatchStatus::Waiting.as_str()))
        .select(dispatches::wanted)
        .first::<Option<String>>(conn)
        .optional()?
        .flatten();
    let Some(wanted) = word.as_deref().and_then(Wanted::parse) else {
        return Ok(());
    };
    rest(conn, dispatch, &[DispatchStatus::Waiting], now)?;
    match wanted {
        Wanted::Paused => Ok(()),
        Wanted::Cancelled => close(conn, dispatch, now),
    }
}

/// Closes a dispatch at rest: what was not handed over is cancelled; of what may have been, nothing more is tried.
fn close(conn: &mut AnyConnection, dispatch: DispatchId, now: NaiveDateTime) -> Result<(), DbError> {
    let id = dispatch.to_string();
    let unsent = OPEN.into_iter().chain([NotificationStatus::Deferred.as_str()]);
    diesel::update(
        notifications::table
            .filter(notifications::dispatch_id.eq(&id))
            .filter(notifications::status.eq_any(unsent.collect::<Vec<_>>())),
    )
    .set((
        notifications::status.eq(NotificationStatus::Cancelled.as_str()),
        notifications::next_attempt_at.eq(None::<NaiveDateTime>),
        notifications::updated_at.eq(now),
    ))
    .execute(conn)?;
    diesel::update(
        notifications::table
            .filter(notifications::dispatch_id.eq(&id))
            .filter(notifications::status.eq(NotificationStatus::Unknown.as_str())),
    )
    .set(notifications::next_attempt_at.eq(None::<NaiveDateTime>))
    .execute(conn)?;
    diesel::update(dispatches::table.find(&id))
        .set((
            dispatches::status.eq(DispatchStatus::Cancelled.as_str()),
            dispatches::closed_at.eq(Some(now)),
            // Who was not read yet is not told either, not even when a row of it is retried.
            dispatches::cursor_participant_id.eq(dispatches::last_participant_id),
        ))
        .execute(conn)?;
    let counts = counts(conn, dispatch)?;
    if counts.of(NotificationStatus::Sent) == 0 {
        cooldown::release(conn, dispatch, now)?;
    }
    outbox::closed(conn, dispatch, (DispatchStatus::Cancelled, &counts), now)
}
