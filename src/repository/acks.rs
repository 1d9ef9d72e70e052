//! What the ledger knows of acks: begun, lost, proven. A redelivery without id is told from another message
//! that says the same by nothing else.

use diesel::prelude::*;

use super::connection::AnyConnection;
use super::error::DbError;
use super::given_up::GivenUp;
use super::schema::dispatches;
use crate::domain::DispatchId;

/// An equal dispatch that is not running and whose ack is not proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Which.
    pub dispatch: DispatchId,
    /// The process that has begun to ack its message; `None`: none has, or its ack was cut off with its
    /// connection.
    pub acking: Option<String>,
}

/// What was found out about equal dispatches while a message without id waits.
#[derive(Debug, Clone, Default)]
pub struct Equals {
    /// These have, or had, messages of their own.
    pub others: Vec<DispatchId>,
    /// The message of these was not acked, and is not going to be.
    pub unacked: Vec<DispatchId>,
}

/// A redelivery of a message that was not acked is absorbed by its dispatch, once.
pub(super) fn absorb(conn: &mut AnyConnection, id: &str, error: Option<&str>) -> Result<(), DbError> {
    // Of one that was given up the dead letter may be missing, and comes first.
    if error.and_then(GivenUp::from_text).is_some() {
        return Ok(());
    }
    let unproven = dispatches::table
        .filter(dispatches::id.eq(id))
        .filter(dispatches::ack_proven.eq(false));
    let absorbed = diesel::update(unproven)
        .set(dispatches::ack_proven.eq(true))
        .execute(conn)?;
    if absorbed == 1 {
        Ok(())
    } else {
        Err(DbError::Conflict("the dispatch has its message already".into()))
    }
}

/// Records that this process is about to ack the message of a dispatch: from now on a redelivery may be
/// another message.
pub fn ack_begun(conn: &mut AnyConnection, dispatch: DispatchId, holder: &str) -> Result<(), DbError> {
    set_acking(conn, &[dispatch], Some(holder))
}

/// Records that the connection ended before the acks of these dispatches' messages were proven: they come
/// again, flagged, and are absorbed once.
pub fn ack_lost(conn: &mut AnyConnection, lost: &[DispatchId]) -> Result<(), DbError> {
    set_acking(conn, lost, None)
}

fn set_acking(conn: &mut AnyConnection, of: &[DispatchId], holder: Option<&str>) -> Result<(), DbError> {
    let ids: Vec<String> = of.iter().map(ToString::to_string).collect();
    let unproven = dispatches::table
        .filter(dispatches::id.eq_any(ids))
        .filter(dispatches::ack_proven.eq(false));
    diesel::update(unproven)
        .set(dispatches::acking.eq(holder))
        .execute(conn)?;
    Ok(())
}

/// Records that the broker has seen the ack of these dispatches' messages.
pub fn ack_proven(conn: &mut AnyConnection, acked: &[DispatchId]) -> Result<(), DbError> {
    let ids: Vec<String> = acked.iter().map(ToString::to_string).collect();
    diesel::update(dispatches::table.filter(dispatches::id.eq_any(ids)))
        .set(dispatches::ack_proven.eq(true))
        .execute(conn)?;
    Ok(())
}
