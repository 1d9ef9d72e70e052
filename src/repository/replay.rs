//! Many failed and unknown notifications back to work, chosen by what they have in common.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use diesel::dsl::count_star;
use diesel::prelude::*;

use super::connection::AnyConnection;
use super::error::DbError;
use super::retry::{RETRYABLE, Retried, Rows, reopen};
use super::schema::{dispatches, notifications};
use crate::domain::{DispatchId, NotificationStatus, TenantId};

type Backend = <AnyConnection as Connection>::Backend;

/// Which notifications are meant: those failed or unknown that fit every field that is set.
#[derive(Debug, Clone, Default)]
pub struct ReplayFilter {
    /// Of one dispatch.
    pub dispatch_id: Option<DispatchId>,
    /// `failed` or `unknown` alone.
    pub status: Option<NotificationStatus>,
    /// Those that became so at this time or later.
    pub since: Option<NaiveDateTime>,
    /// Of one tenant.
    pub tenant_id: Option<TenantId>,
}

/// What a replay would put back to work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayable {
    /// How many fit.
    pub matched: u64,
    /// The oldest of them, by dispatch.
    rows: BTreeMap<String, Vec<i64>>,
}

/// Looks what fits; up to `limit` of it can then be reopened.
pub fn replayable(
    conn: &mut AnyConnection,
    filter: &ReplayFilter,
    limit: u32,
) -> Result<Replayable, DbError> {
    macro_rules! fitting {
        ($select:expr) => {{
            let mut query = notifications::table
                .inner_join(dispatches::table)
                .filter(notifications::recipient.is_not_null())
                .select($select)
                .into_boxed::<Backend>();
            query = match filter.status {
                Some(status) => query.filter(notifications::status.eq(status.as_str())),
                None => query.filter(notifications::status.eq_any(RETRYABLE)),
            };
            if let Some(dispatch) = filter.dispatch_id {
                query = query.filter(notifications::dispatch_id.eq(dispatch.to_string()));
            }
            if let Some(since) = filter.since {
                query = query.filter(notifications::updated_at.ge(since));
            }
            if let Some(tenant) = &filter.tenant_id {
                query = query.filter(dispatches::tenant_id.eq(tenant.as_str()));
            }
            query
        }};
    }
    let matched: i64 = fitting!(count_star()).first(conn)?;
    let found: Vec<(String, i64)> = fitting!((notifications::dispatch_id, notifications::id))
        .order(notifications::id)
        .limit(i64::from(limit))
        .load(conn)?;
    let mut rows: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (dispatch, id) in found {
        rows.entry(dispatch).or_default().push(id);
    }
    Ok(Replayable {
        matched: u64::try_from(matched).unwrap_or(0),
        rows,
    })
}

/// Reopens what was found, as far as nobody did so meanwhile: each is looked at again under its dispatch's
/// lock. Dispatches are locked in one order, so two that replay do not wait for each other.
pub fn replay(conn: &mut AnyConnection, found: &Replayable, now: NaiveDateTime) -> Result<usize, DbError> {
    let mut reopened = 0;
    for (dispatch, ids) in &found.rows {
        if let Retried::Accepted(n) = reopen(conn, dispatch, Rows::These(ids), now)? {
            reopened += n;
        }
    }
    Ok(reopened)
}
