//! S6: the end of a dispatch, decided from what the ledger shows and from nothing else.

use std::collections::HashMap;

use chrono::NaiveDateTime;
use diesel::dsl::count_star;
use diesel::prelude::*;

use super::clock::{schedule_time, set_back};
use super::connection::AnyConnection;
use super::cooldown;
use super::error::DbError;
use super::lease::{TIMED, under};
use super::outbox;
use super::pages::OPEN;
use super::schema::{dispatches, notifications};
use super::start::unmark;
use super::steer::obey_at_rest;
use crate::domain::{DispatchId, DispatchStatus, LeaseToken, NotificationStatus};

/// How many notifications of a dispatch have which status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(Vec<(NotificationStatus, u64)>);

impl Counts {
    /// Adds what a database counted. Databases give groups in any order; people read them in the contract's.
    fn add(&mut self, word: &str, n: i64) -> Result<(), DbError> {
        let status = word
            .parse()
            .map_err(|e| DbError::Fault(format!("notifications.status: {e}")))?;
        self.0.push((status, u64::try_from(n).unwrap_or(0)));
        self.0.sort_unstable();
        Ok(())
    }

    /// How many have `status`.
    pub fn of(&self, status: NotificationStatus) -> u64 {
        self.0.iter().find(|(s, _)| *s == status).map_or(0, |(_, n)| *n)
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, n)| n).sum()
    }

    /// Those that occur, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (NotificationStatus, u64)> + '_ {
        self.0.iter().copied()
    }

    /// What a dispatch with these outcomes ends as.
    fn verdict(&self) -> DispatchStatus {
        let missed = self.of(NotificationStatus::Failed) + self.of(NotificationStatus::Unknown);
        match (missed, self.of(NotificationStatus::Sent)) {
            (0, _) => DispatchStatus::Completed,
            (_, 0) => DispatchStatus::Failed,
            _ => DispatchStatus::Partial,
        }
    }
}

/// Whether a dispatch came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It is closed, or waits in the ledger for the next time of some rows: ack.
    Reached(DispatchStatus, Counts),
    /// Pages or open rows are left.
    NotYet,
}

/// Closes a dispatch whose audience is read and that has no open row, or lets it wait for the rows that
/// have a next time; gives the lease back in the same transaction.
pub fn finish(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    token: LeaseToken,
    now: NaiveDateTime,
) -> Result<End, DbError> {
    let mine = diesel::update(under(dispatch, token))
        .set(dispatches::updated_at.eq(now))
        .execute(conn)?;
    if mine != 1 {
        return Err(DbError::LeaseLost);
    }
    let (cursor, last): (i64, i64) = dispatches::table
        .find(dispatch.to_string())
        .select((dispatches::cursor_participant_id, dispatches::last_participant_id))
        .first(conn)?;
    let counts = counts(conn, dispatch)?;
    let open = OPEN
        .iter()
        .filter_map(|word| word.parse().ok())
        .map(|s| counts.of(s))
        .sum::<u64>();
    if cursor < last || open > 0 {
        return Ok(End::NotYet);
    }
    let time = schedule_time(conn, now)?;
    let due = earliest(conn, dispatch, time)?;
    let status = if due.is_some() {
        DispatchStatus::Waiting
    } else {
        counts.verdict()
    };
    let touched = if due.is_some() {
        schedule_time(conn, now)?
    } else {
        now
    };
    diesel::update(dispatches::table.find(dispatch.to_string()))
        .set((
            dispatches::updated_at.eq(touched),
            dispatches::status.eq(status.as_str()),
            dispatches::due_at.eq(due),
            dispatches::closed_at.eq(status.is_closed().then_some(now)),
            dispatches::vain_starts.eq(0),
            dispatches::lease_token.eq(None::<String>),
            dispatches::lease_holder.eq(None::<String>),
        ))
        .execute(conn)?;
    if status.is_closed() {
        if counts.of(NotificationStatus::Sent) == 0 {
            cooldown::release(conn, dispatch, now)?;
        }
        outbox::closed(conn, dispatch, (status, &counts), now)?;
    }
    obey_at_rest(conn, dispatch, now)?;
    Ok(End::Reached(status, counts))
}

/// The earliest next time: the schedule's time itself where its clock was set back since.
fn earliest(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    time: NaiveDateTime,
) -> Result<Option<NaiveDateTime>, DbError> {
    let (next, newest): (Option<NaiveDateTime>, Option<NaiveDateTime>) = notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::status.eq_any(TIMED))
        .filter(notifications::next_attempt_at.is_not_null())
        .select((
            diesel::dsl::min(notifications::next_attempt_at),
            diesel::dsl::max(notifications::updated_at),
        ))
        .first(conn)?;
    let (Some(next), Some(newest)) = (next, newest) else {
        return Ok(None);
    };
    Ok(Some(if newest > set_back(time) { time } else { next }))
}

/// The counts of one dispatch.
pub fn counts(conn: &mut AnyConnection, dispatch: DispatchId) -> Result<Counts, DbError> {
    let rows: Vec<(String, i64)> = notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .group_by(notifications::status)
        .select((notifications::status, count_star()))
        .load(conn)?;
    let mut counts = Counts::default();
    for (word, n) in rows {
        counts.add(&word, n)?;
    }
    Ok(counts)
}

/// The counts of many dispatches, by one question. One without notifications is not among them.
pub fn counts_of(
    conn: &mut AnyConnection,
    dispatches: Vec<String>,
) -> Result<HashMap<String, Counts>, DbError> {
    let rows: Vec<(String, String, i64)> = notifications::table
        .filter(notifications::dispatch_id.eq_any(dispatches))
        .group_by((notifications::dispatch_id, notifications::status))
        .select((notifications::dispatch_id, notifications::status, count_star()))
        .load(conn)?;
    let mut counted: HashMap<String, Counts> = HashMap::new();
    for (dispatch, word, n) in rows {
        counted.entry(dispatch).or_default().add(&word, n)?;
    }
    Ok(counted)
}

/// Why and for how long a dispatch is parked.
#[derive(Debug, Clone)]
pub struct Parking {
    /// For people, where it is more than a relay that is away.
    pub why: Option<String>,
    /// Until it is looked at again.
    pub wait: chrono::Duration,
}

/// Gives a dispatch that cannot go on to the ledger: it waits there, and its message can be acked. Its
/// cursor and its open rows stay as they are.
pub fn park(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    token: LeaseToken,
    now: NaiveDateTime,
    parking: &Parking,
) -> Result<(), DbError> {
    let now = schedule_time(conn, now)?;
    let parked = diesel::update(under(dispatch, token))
        .set((
            dispatches::status.eq(DispatchStatus::Waiting.as_str()),
            dispatches::due_at.eq(now.checked_add_signed(parking.wait)),
            dispatches::error.eq(&parking.why),
            dispatches::updated_at.eq(now),
            dispatches::lease_token.eq(None::<String>),
            dispatches::lease_holder.eq(None::<String>),
            dispatches::vain_starts.eq(0),
        ))
        .execute(conn)?;
    if parked != 1 {
        return Err(DbError::LeaseLost);
    }
    unmark(conn, dispatch)?;
    obey_at_rest(conn, dispatch, now)
}
