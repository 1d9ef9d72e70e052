//! R1: who may hand over rows of a dispatch. A claim writes a fresh random token; every later write
//! names it, so a holder that was overtaken changes nothing any more. No wall clock decides.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::accept::Claimant;
use super::clock::{schedule_time, set_back};
use super::connection::AnyConnection;
use super::error::DbError;
use super::schema::{dispatches, notifications};
use super::start::unmark;
use crate::domain::{DispatchId, DispatchStatus, LeaseToken, NotificationStatus};

/// A lease that was just taken, with what the work needs to know.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The dispatch.
    pub dispatch: DispatchId,
    /// The token that proves the claim.
    pub token: LeaseToken,
    /// The plan that the dispatch was accepted with.
    pub plan: String,
    /// When the dispatch was accepted.
    pub created_at: NaiveDateTime,
    /// How often work on it was started, this start included.
    pub starts: i32,
    /// Equal messages that were held back before this one.
    pub held_back: u64,
}

/// What an onlooker sees of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The dispatch.
    pub dispatch: DispatchId,
    /// Its status.
    pub status: DispatchStatus,
    /// The holder's token; `None`: nobody holds it.
    pub token: Option<String>,
    /// Grows with each sign of life.
    pub beat: i64,
    /// Which process holds it.
    pub holder: Option<String>,
    /// Whether some worker still has the delivery of its message.
    pub has_delivery: bool,
}

/// Looks at a lease.
pub fn observe(conn: &mut AnyConnection, dispatch: DispatchId) -> Result<Option<Seen>, DbError> {
    type Columns = (String, Option<String>, i64, Option<String>, bool);
    let row: Option<Columns> = dispatches::table
        .find(dispatch.to_string())
        .select((
            dispatches::status,
            dispatches::lease_token,
            dispatches::lease_beat,
            dispatches::lease_holder,
            dispatches::has_delivery,
        ))
        .first(conn)
        .optional()?;
    row.map(|(status, token, beat, holder, has_delivery)| {
        let status = status
            .parse()
            .map_err(|e| DbError::Fault(format!("dispatches.status: {e}")))?;
        Ok(Seen {
            dispatch,
            status,
            token,
            beat,
            holder,
            has_delivery,
        })
    })
    .transpose()
}

/// Takes the lease of a running dispatch that nobody holds; `None` when somebody was faster.
pub(super) fn claim_free(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    who: &Claimant,
) -> Result<Option<Claim>, DbError> {
    let free = dispatches::table.filter(
        dispatches::id
            .eq(dispatch.to_string())
            .and(dispatches::lease_token.is_null())
            .and(dispatches::status.eq(DispatchStatus::Running.as_str())),
    );
    let changed = diesel::update(free).set(claimed(who)).execute(conn)?;
    load_if(changed == 1, conn, dispatch, who)
}

/// Takes a waiting dispatch up: it runs again, and those of its rows whose next time has come are open.
pub fn take_up_waiting(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    longest: chrono::Duration,
    who: &Claimant,
) -> Result<Option<Claim>, DbError> {
    let waiting = dispatches::table.filter(
        dispatches::id
            .eq(dispatch.to_string())
            .and(dispatches::lease_token.is_null())
            .and(dispatches::status.eq(DispatchStatus::Waiting.as_str())),
    );
    let running = (
        dispatches::status.eq(DispatchStatus::Running.as_str()),
        dispatches::due_at.eq(None::<NaiveDateTime>),
        dispatches::error.eq(None::<String>),
    );
    let changed = diesel::update(waiting)
        .set((claimed(who), running))
        .execute(conn)?;
    if changed == 1 {
        let time = schedule_time(conn, who.now)?;
        open_due(conn, dispatch, longest, time)?;
    }
    load_if(changed == 1, conn, dispatch, who)
}

/// A next time that is further off than any that is ever given comes from a clock that was set back.
fn open_due(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    longest: chrono::Duration,
    now: NaiveDateTime,
) -> Result<(), DbError> {
    let due = notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::status.eq_any(TIMED))
        .filter(
            notifications::next_attempt_at
                .le(now)
                .or(notifications::next_attempt_at.gt(now + longest))
                .or(notifications::updated_at.gt(set_back(now))),
        );
    diesel::update(due)
        .set((
            notifications::status.eq(NotificationStatus::Pending.as_str()),
            notifications::next_attempt_at.eq(None::<NaiveDateTime>),
            notifications::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// What may have a next time while nobody works on the dispatch.
pub(super) const TIMED: [&str; 2] = [
    NotificationStatus::Deferred.as_str(),
    NotificationStatus::Unknown.as_str(),
];

/// Takes the lease from a holder that is silent or dead, provided that it still looks as `seen`.
pub fn take_over(conn: &mut AnyConnection, seen: &Seen, who: &Claimant) -> Result<Option<Claim>, DbError> {
    let Some(token) = &seen.token else {
        return claim_free(conn, seen.dispatch, who);
    };
    let silent = dispatches::table.filter(
        dispatches::id
            .eq(seen.dispatch.to_string())
            .and(dispatches::lease_token.eq(token))
            .and(dispatches::lease_beat.eq(seen.beat))
            .and(dispatches::status.eq(DispatchStatus::Running.as_str())),
    );
    let changed = diesel::update(silent).set(claimed(who)).execute(conn)?;
    load_if(changed == 1, conn, seen.dispatch, who)
}

type Claimed<'a> = (
    diesel::dsl::Eq<dispatches::lease_token, String>,
    diesel::dsl::Eq<dispatches::lease_beat, diesel::dsl::Add<dispatches::lease_beat, i64>>,
    diesel::dsl::Eq<dispatches::lease_holder, &'a String>,
    diesel::dsl::Eq<dispatches::has_delivery, bool>,
    diesel::dsl::Eq<dispatches::starts, diesel::dsl::Add<dispatches::starts, i32>>,
    diesel::dsl::Eq<dispatches::updated_at, NaiveDateTime>,
);

fn claimed(who: &Claimant) -> Claimed<'_> {
    (
        dispatches::lease_token.eq(who.token.to_string()),
        dispatches::lease_beat.eq(dispatches::lease_beat + 1),
        dispatches::lease_holder.eq(&who.holder),
        dispatches::has_delivery.eq(who.delivered),
        dispatches::starts.eq(dispatches::starts + 1),
        dispatches::updated_at.eq(who.now),
    )
}

fn load_if(
    claimed: bool,
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    who: &Claimant,
) -> Result<Option<Claim>, DbError> {
    if !claimed {
        return Ok(None);
    }
    let (plan, created_at, starts, held_back) = dispatches::table
        .find(dispatch.to_string())
        .select((
            dispatches::plan,
            dispatches::created_at,
            dispatches::starts,
            dispatches::held_back,
        ))
        .first::<(String, NaiveDateTime, i32, i64)>(conn)?;
    Ok(Some(Claim {
        dispatch,
        token: who.token,
        plan,
        created_at,
        starts,
        held_back: u64::try_from(held_back).unwrap_or(0),
    }))
}

/// A sign of life for each lease; returns those that are still held under their token.
pub fn beat(
    conn: &mut AnyConnection,
    leases: &[(DispatchId, LeaseToken)],
) -> Result<Vec<DispatchId>, DbError> {
    let mut held = Vec::with_capacity(leases.len());
    for &(dispatch, token) in leases {
        let changed = diesel::update(under(dispatch, token))
            .set(dispatches::lease_beat.eq(dispatches::lease_beat + 1))
            .execute(conn)?;
        if changed == 1 {
            held.push(dispatch);
        }
    }
    Ok(held)
}

/// Gives a lease back: the next one who wants it need not wait. The dispatch stays as it is, nothing of
/// it is under way any more, and the start that ends here was not in vain.
pub fn release(conn: &mut AnyConnection, dispatch: DispatchId, token: LeaseToken) -> Result<(), DbError> {
    let released = diesel::update(under(dispatch, token))
        .set((
            dispatches::lease_token.eq(None::<String>),
            dispatches::lease_holder.eq(None::<String>),
            dispatches::vain_starts.eq(0),
        ))
        .execute(conn)?;
    if released == 1 {
        unmark(conn, dispatch)
    } else {
        Ok(())
    }
}

/// Records that the holder lost its delivery: the message will come again.
pub fn delivery_lost(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    token: LeaseToken,
) -> Result<(), DbError> {
    diesel::update(under(dispatch, token))
        .set(dispatches::has_delivery.eq(false))
        .execute(conn)?;
    Ok(())
}

/// Records whether a running dispatch has a delivery behind it; false when that was known already.
pub fn set_delivered(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    delivered: bool,
) -> Result<bool, DbError> {
    let other = dispatches::table.filter(
        dispatches::id
            .eq(dispatch.to_string())
            .and(dispatches::has_delivery.eq(!delivered))
            .and(dispatches::status.eq(DispatchStatus::Running.as_str())),
    );
    let set = diesel::update(other).set(dispatches::has_delivery.eq(delivered));
    Ok(set.execute(conn)? == 1)
}

/// The dispatch, only while it runs under this token.
#[diesel::dsl::auto_type(no_type_alias)]
pub(super) fn under(dispatch: DispatchId, token: LeaseToken) -> _ {
    let id: String = dispatch.to_string();
    let token: String = token.to_string();
    dispatches::table.filter(
        dispatches::id
            .eq(id)
            .and(dispatches::lease_token.eq(token))
            .and(dispatches::status.eq("running")),
    )
}
