//! S2: a message becomes a dispatch, once. One transaction finds or inserts it by its key, freezes the
//! audience, claims the cooldown and takes the lease.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::acks::{Doubt, Equals, absorb};
use super::admit::{NewDispatch, admit};
use super::connection::AnyConnection;
use super::error::DbError;
use super::lease::{Claim, Seen, claim_free};
use super::schema::dispatches;
use crate::domain::{DispatchId, DispatchStatus, LeaseToken};

/// Equal messages without id that are looked at, newest first.
const EQUAL: i64 = 100;

/// What makes two messages the same message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageKey {
    /// Hash of queue and `message_id`: the publisher's idempotency key.
    Named(String),
    /// Hash of queue and body, for messages without an id; a number follows it in the ledger.
    Anonymous(String),
}

/// Who asks, and when.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// The fresh token that a claim writes.
    pub token: LeaseToken,
    /// Whether a delivery of its message stands behind the claim.
    pub delivered: bool,
    /// Says which process holds the lease.
    pub holder: String,
    /// UTC.
    pub now: NaiveDateTime,
}

/// What became of it.
#[derive(Debug)]
pub enum Accepted {
    /// The lease is ours: work it off.
    Mine(Claim),
    /// Somebody (perhaps this process) holds its lease.
    Held(Seen),
    /// A redelivery without id, and an equal dispatch whose ack is not proven: it may be that one's, or a
    /// message of its own.
    Doubtful(Doubt),
    /// Closed, waiting or paused: the ledger has it, ack.
    Settled(DispatchId, DispatchStatus),
    /// The same id came before with another body.
    Conflict(DispatchId),
    /// The ledger does not have it, and without a plan it cannot be inserted.
    Unplanned,
}

/// Finds or inserts the dispatch of a message. `Conflict` errors mean that somebody else inserted it at
/// the same moment: ask again.
///
/// A message without id that equals a running dispatch may be that one's redelivery or another message.
/// `equals` names the dispatches that were asked; as long as one is in doubt it is returned as `Held` or
/// `Doubtful`.
pub fn accept(
    conn: &mut AnyConnection,
    new: &NewDispatch,
    who: &Claimant,
    equals: &Equals,
) -> Result<Accepted, DbError> {
    match &new.key {
        MessageKey::Named(key) => match find(conn, key)? {
            Some(row) if row.body_hash != new.body_hash => Ok(Accepted::Conflict(row.id()?)),
            Some(row) => take_up(conn, &row, who),
            None => admit(conn, new, key.clone(), who),
        },
        MessageKey::Anonymous(hash) => accept_anonymous(conn, new, hash, who, equals),
    }
}

fn accept_anonymous(
    conn: &mut AnyConnection,
    new: &NewDispatch,
    hash: &str,
    who: &Claimant,
    equals: &Equals,
) -> Result<Accepted, DbError> {
    let prefix = format!("{hash}:");
    let mut equal: Vec<Row> = dispatches::table
        .filter(dispatches::body_hash.eq(&new.body_hash))
        .filter(dispatches::message_id.is_null())
        .order(dispatches::created_at.desc())
        .limit(EQUAL)
        .select(Row::as_select())
        .load(conn)?;
    equal.retain(|row| row.message_key.starts_with(&prefix));
    for row in running(conn, new, &prefix)? {
        if row.lease_token.is_none() {
            return take_up(conn, &row, who);
        }
        if !equals.others.contains(&row.id()?) {
            return row.seen().map(Accepted::Held);
        }
    }
    let not_running = |row: &&Row| !row.ack_proven && row.status != DispatchStatus::Running.as_str();
    for row in equal.iter().filter(not_running).filter(|_| new.redelivered) {
        let id = row.id()?;
        if equals.others.contains(&id) {
            continue;
        }
        if !equals.unacked.contains(&id) {
            let acking = row.acking.clone();
            return Ok(Accepted::Doubtful(Doubt { dispatch: id, acking }));
        }
        absorb(conn, &row.id, row.error.as_deref())?;
        return Ok(Accepted::Settled(id, row.status()?));
    }
    let number = equal
        .iter()
        .filter_map(|r| r.message_key.rsplit(':').next()?.parse::<u64>().ok())
        .max();
    let key = format!("{prefix}{}", number.map_or(0, |n| n + 1) + new.conflicts);
    admit(conn, new, key, who)
}

/// Every running dispatch of an equal message without id, however many there are.
fn running(conn: &mut AnyConnection, new: &NewDispatch, prefix: &str) -> Result<Vec<Row>, DbError> {
    let mut rows: Vec<Row> = dispatches::table
        .filter(dispatches::body_hash.eq(&new.body_hash))
        .filter(dispatches::message_id.is_null())
        .filter(dispatches::status.eq(DispatchStatus::Running.as_str()))
        .order(dispatches::id)
        .select(Row::as_select())
        .load(conn)?;
    rows.retain(|row| row.message_key.starts_with(prefix));
    Ok(rows)
}

fn take_up(conn: &mut AnyConnection, row: &Row, who: &Claimant) -> Result<Accepted, DbError> {
    if row.status()? != DispatchStatus::Running {
        return Ok(Accepted::Settled(row.id()?, row.status()?));
    }
    if row.lease_token.is_some() {
        return row.seen().map(Accepted::Held);
    }
    match claim_free(conn, row.id()?, who)? {
        Some(claim) => Ok(Accepted::Mine(claim)),
        None => Err(DbError::Conflict("the dispatch was claimed meanwhile".into())),
    }
}

fn find(conn: &mut AnyConnection, key: &str) -> Result<Option<Row>, DbError> {
    let row = dispatches::table
        .filter(dispatches::message_key.eq(key))
        .select(Row::as_select());
    Ok(row.first(conn).optional()?)
}

/// What accepting needs to know of a dispatch.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = dispatches)]
struct Row {
    id: String,
    message_key: String,
    body_hash: String,
    status: String,
    lease_token: Option<String>,
    lease_beat: i64,
    lease_holder: Option<String>,
    acking: Option<String>,
    has_delivery: bool,
    ack_proven: bool,
    error: Option<String>,
}

impl Row {
    fn id(&self) -> Result<DispatchId, DbError> {
        self.id
            .parse()
            .map_err(|e| DbError::Fault(format!("dispatches.id: {e}")))
    }

    fn status(&self) -> Result<DispatchStatus, DbError> {
        self.status
            .parse()
            .map_err(|e| DbError::Fault(format!("dispatches.status: {e}")))
    }

    fn seen(&self) -> Result<Seen, DbError> {
        Ok(Seen {
            dispatch: self.id()?,
            status: self.status()?,
            token: self.lease_token.clone(),
            beat: self.lease_beat,
            holder: self.lease_holder.clone(),
            has_delivery: self.has_delivery,
        })
    }
}
