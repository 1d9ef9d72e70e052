//! What the sweeper asks: which dispatches nobody works on, though there is work.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::clock::{schedule_time, set_back};
use super::connection::AnyConnection;
use super::error::DbError;
use super::lease::{Seen, TIMED};
use super::pages::OPEN;
use super::schema::{dispatches, notifications};
use crate::domain::{Channel, DispatchId, DispatchStatus};

/// Dispatches looked at in one round.
const ROUND: i64 = 1000;

/// A dispatch that may need somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unattended {
    /// It, and its lease.
    pub seen: Seen,
    /// Whether its message has no id: only an equal body can find back to it.
    pub anonymous: bool,
}

/// A waiting dispatch whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// It.
    pub dispatch: DispatchId,
    /// Whose relay and webhook it uses.
    pub sender: String,
}

/// Waiting dispatches whose time has come, oldest first. A time that is further off than `longest` comes
/// from a clock that was set back. Those of the senders `without` are left out.
pub fn due(
    conn: &mut AnyConnection,
    now: NaiveDateTime,
    longest: chrono::Duration,
    without: &[String],
) -> Result<Vec<Due>, DbError> {
    let now = schedule_time(conn, now)?;
    let rows: Vec<(String, String)> = dispatches::table
        .filter(dispatches::status.eq(DispatchStatus::Waiting.as_str()))
        .filter(dispatches::sender.ne_all(without.to_vec()))
        .filter(
            dispatches::due_at
                .le(now)
                .or(dispatches::due_at.gt(now + longest))
                .or(dispatches::updated_at.gt(set_back(now))),
        )
        .order(dispatches::due_at)
        .limit(ROUND)
        .select((dispatches::id, dispatches::sender))
        .load(conn)?;
    rows.into_iter()
        .map(|(id, sender)| {
            let dispatch = parse(&id)?;
            Ok(Due { dispatch, sender })
        })
        .collect()
}

/// The ways that a dispatch has still to go: those of its open rows and of rows with a next time, and e-mail
/// where its audience is not read to the end.
pub fn ways(conn: &mut AnyConnection, dispatch: DispatchId) -> Result<Vec<Channel>, DbError> {
    let left = OPEN.into_iter().chain(TIMED);
    let words: Vec<String> = notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::status.eq_any(left.collect::<Vec<_>>()))
        .select(notifications::channel)
        .distinct()
        .load(conn)?;
    let unread: i64 = dispatches::table
        .filter(dispatches::id.eq(dispatch.to_string()))
        .filter(dispatches::cursor_participant_id.lt(dispatches::last_participant_id))
        .count()
        .get_result(conn)?;
    let mut ways: Vec<Channel> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if unread > 0 && !ways.contains(&Channel::Email) {
        ways.push(Channel::Email);
    }
    Ok(ways)
}

/// Running dispatches with their leases, oldest first.
pub fn running(conn: &mut AnyConnection) -> Result<Vec<Unattended>, DbError> {
    type Columns = (String, Option<String>, i64, Option<String>, bool, Option<String>);
    let rows: Vec<Columns> = dispatches::table
        .filter(dispatches::status.eq(DispatchStatus::Running.as_str()))
        .order(dispatches::id)
        .limit(ROUND)
        .select((
            dispatches::id,
            dispatches::lease_token,
            dispatches::lease_beat,
            dispatches::lease_holder,
            dispatches::has_delivery,
            dispatches::message_id,
        ))
        .load(conn)?;
    rows.into_iter()
        .map(|(id, token, beat, holder, has_delivery, message_id)| {
            let status = DispatchStatus::Running;
            let dispatch = parse(&id)?;
            let seen = Seen {
                dispatch,
                status,
                token,
                beat,
                holder,
                has_delivery,
            };
            Ok(Unattended {
                seen,
                anonymous: message_id.is_none(),
            })
        })
        .collect()
}

fn parse(id: &str) -> Result<DispatchId, DbError> {
    id.parse()
        .map_err(|e| DbError::Fault(format!("dispatches.id: {e}")))
}
