//! What the sweeper asks: which dispatches nobody works on, though there is work.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::clock::{schedule_time, set_back};
use super::connection::AnyConnection;
use super::error::DbError;
use super::lease::Seen;
use super::schema::dispatches;
use crate::domain::{DispatchId, DispatchStatus};

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

/// Waiting dispatches whose time has come, oldest first. A time that is further off than `longest` comes
/// from a clock that was set back.
pub fn due(
    conn: &mut AnyConnection,
    now: NaiveDateTime,
    longest: chrono::Duration,
) -> Result<Vec<DispatchId>, DbError> {
    let now = schedule_time(conn, now)?;
    let ids: Vec<String> = dispatches::table
        .filter(dispatches::status.eq(DispatchStatus::Waiting.as_str()))
        .filter(
            dispatches::due_at
                .le(now)
                .or(dispatches::due_at.gt(now + longest))
                .or(dispatches::updated_at.gt(set_back(now))),
        )
        .order(dispatches::due_at)
        .limit(ROUND)
        .select(dispatches::id)
        .load(conn)?;
    ids.iter().map(|id| parse(id)).collect()
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
