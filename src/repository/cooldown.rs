//! Cooldowns: of equal messages one is told, and the next ones are counted until its time is over. They are
//! claimed in the transaction that accepts a dispatch, under the lock of their row, so of many workers one
//! gets it; and they end with a dispatch that reached nobody.

use chrono::{NaiveDateTime, TimeDelta};
use diesel::prelude::*;

use super::clock::{schedule_time, set_back};
use super::connection::AnyConnection;
use super::error::DbError;
use super::schema::{cooldowns, dispatches};
use crate::domain::{Cooldown, DispatchId};

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claimed {
    /// It is this dispatch's.
    Free {
        /// Equal messages that were held back since the last one was told.
        held_back: i64,
    },
    /// An equal message was told a short time ago: this one is counted.
    Taken,
}

/// Claims `wanted` for `dispatch`.
pub(super) fn claim(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    wanted: &Cooldown,
    now: NaiveDateTime,
) -> Result<Claimed, DbError> {
    let time = schedule_time(conn, now)?;
    let period = TimeDelta::from_std(wanted.period).unwrap_or(TimeDelta::MAX);
    let ends_at = time.checked_add_signed(period).unwrap_or(NaiveDateTime::MAX);
    let row = cooldowns::table.find(&wanted.key);
    // The write comes first: it takes the row's lock, and whoever else wants it waits.
    let there = diesel::update(row)
        .set(cooldowns::held_back.eq(cooldowns::held_back + 1))
        .execute(conn)?;
    if there == 0 {
        // Of two that find none, one gets a conflict and asks again.
        diesel::insert_into(cooldowns::table)
            .values((
                cooldowns::cooldown_key.eq(&wanted.key),
                cooldowns::dispatch_id.eq(dispatch.to_string()),
                cooldowns::ends_at.eq(ends_at),
                cooldowns::held_back.eq(0),
            ))
            .execute(conn)?;
        return Ok(Claimed::Free { held_back: 0 });
    }
    let (ends, counted): (NaiveDateTime, i64) = row
        .select((cooldowns::ends_at, cooldowns::held_back))
        .first(conn)?;
    // One that would last longer than it ever does comes from a clock that was set back.
    if ends > time && ends <= set_back(ends_at) {
        return Ok(Claimed::Taken);
    }
    diesel::update(row)
        .set((
            cooldowns::dispatch_id.eq(dispatch.to_string()),
            cooldowns::ends_at.eq(ends_at),
            cooldowns::held_back.eq(0),
        ))
        .execute(conn)?;
    Ok(Claimed::Free {
        held_back: counted - 1,
    })
}

/// Ends the cooldown that `dispatch` has claimed: it reached nobody. What was held back meanwhile stays
/// counted, and so does what it would have told of. Afterwards it is nobody's, so that a later end of the same
/// dispatch counts nothing twice.
pub(super) fn release(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    now: NaiveDateTime,
) -> Result<(), DbError> {
    let time = schedule_time(conn, now)?;
    let dispatch = dispatch.to_string();
    let own = || cooldowns::table.filter(cooldowns::dispatch_id.eq(&dispatch));
    diesel::update(own().filter(cooldowns::ends_at.gt(time)))
        .set(cooldowns::ends_at.eq(time))
        .execute(conn)?;
    let untold: i64 = dispatches::table
        .find(&dispatch)
        .select(dispatches::held_back)
        .first(conn)?;
    diesel::update(own())
        .set((
            cooldowns::held_back.eq(cooldowns::held_back + untold),
            cooldowns::dispatch_id.eq(""),
        ))
        .execute(conn)?;
    Ok(())
}

/// Removes those that were over before `before`.
pub(super) fn forget(conn: &mut AnyConnection, before: NaiveDateTime) -> Result<usize, DbError> {
    let over = cooldowns::table.filter(cooldowns::ends_at.lt(before));
    Ok(diesel::delete(over).execute(conn)?)
}
