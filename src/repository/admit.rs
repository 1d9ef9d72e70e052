//! The inserting half of S2: a dispatch, its cooldown, and whoever of its audience is known already.

use diesel::dsl::max;
use diesel::prelude::*;

use super::accept::{Accepted, Claimant, MessageKey};
use super::connection::AnyConnection;
use super::cooldown::{self, Claimed};
use super::error::DbError;
use super::fresh::NewNotification;
use super::insert::insert_new;
use super::lease::Claim;
use super::schema::{dispatches, participants};
use crate::domain::{
    Addressee, Audience, Cooldown, DispatchId, DispatchStatus, EventId, OrderId, Source, TenantId,
};

/// A message about to be accepted.
#[derive(Debug, Clone)]
pub struct NewDispatch {
    /// Id of the dispatch, if it becomes one.
    pub id: DispatchId,
    /// Its key.
    pub key: MessageKey,
    /// The publisher's `message_id`.
    pub message_id: Option<String>,
    /// The body as received.
    pub body: Vec<u8>,
    /// SHA-256 of the body, in hexadecimal.
    pub body_hash: String,
    /// The message's `type`.
    pub kind: &'static str,
    /// On whose behalf.
    pub tenant_id: Option<TenantId>,
    /// Whose participants are the audience.
    pub event_id: Option<EventId>,
    /// Whose customer is the audience.
    pub order_id: Option<OrderId>,
    /// The message's `version`.
    pub version: Option<i64>,
    /// What is made of it; `None`: it cannot be planned, and is taken up only if the ledger has it already.
    pub plan: Option<NewPlan>,
    /// Whether the broker said that it had delivered this message before.
    pub redelivered: bool,
    /// Where it came from.
    pub source: Source,
    /// How often somebody else was faster to insert an equal one.
    pub conflicts: u64,
}

/// What a dispatch keeps for its whole life.
#[derive(Debug, Clone)]
pub struct NewPlan {
    /// The plan, serialised.
    pub text: String,
    /// Subject of its e-mails.
    pub subject: String,
    /// Whose relay and webhook.
    pub sender: String,
    /// Right-hand side of the Message-IDs.
    pub domain: String,
    /// Who is told.
    pub audience: Audience,
    /// What equal messages wait for.
    pub cooldown: Option<Cooldown>,
}

pub(super) fn admit(
    conn: &mut AnyConnection,
    new: &NewDispatch,
    key: String,
    who: &Claimant,
) -> Result<Accepted, DbError> {
    let Some(plan) = &new.plan else {
        return Ok(Accepted::Unplanned);
    };
    let claimed = match &plan.cooldown {
        Some(wanted) => cooldown::claim(conn, new.id, wanted, who.now)?,
        None => Claimed::Free { held_back: 0 },
    };
    let (listed, held_back) = match (claimed, &plan.cooldown, &plan.audience) {
        (Claimed::Taken, Some(cooldown), _) => (std::slice::from_ref(&cooldown.held), 0),
        (Claimed::Free { held_back }, _, Audience::Listed(listed)) => (listed.as_slice(), held_back),
        (_, _, Audience::Listed(listed)) => (listed.as_slice(), 0),
        (_, _, Audience::Participants) => (Default::default(), 0),
    };
    let last = match (new.event_id, &plan.audience) {
        (Some(event), Audience::Participants) => last_participant(conn, event)?,
        _ => 0,
    };
    insert(conn, new, plan, (key, last, held_back), who)?;
    list(conn, new.id, listed, plan, who)?;
    Ok(Accepted::Mine(Claim {
        dispatch: new.id,
        token: who.token,
        plan: plan.text.clone(),
        created_at: who.now,
        starts: 1,
        held_back: u64::try_from(held_back).unwrap_or(0),
    }))
}

fn last_participant(conn: &mut AnyConnection, event: EventId) -> Result<i64, DbError> {
    let last = participants::table
        .filter(participants::event_id.eq(event.get()))
        .select(max(participants::id))
        .first::<Option<i64>>(conn)?;
    Ok(last.unwrap_or(0))
}

fn insert(
    conn: &mut AnyConnection,
    new: &NewDispatch,
    plan: &NewPlan,
    (key, last, held_back): (String, i64, i64),
    who: &Claimant,
) -> Result<(), DbError> {
    diesel::insert_into(dispatches::table)
        .values((
            (
                dispatches::id.eq(new.id.to_string()),
                dispatches::message_key.eq(key),
                dispatches::body_hash.eq(&new.body_hash),
                dispatches::message_id.eq(&new.message_id),
                dispatches::body.eq(&new.body),
                dispatches::kind.eq(new.kind),
                dispatches::tenant_id.eq(new.tenant_id.as_ref().map(TenantId::as_str)),
                dispatches::event_id.eq(new.event_id.map(EventId::get)),
                dispatches::order_id.eq(new.order_id.as_ref().map(OrderId::as_str)),
                dispatches::version.eq(new.version),
            ),
            (
                dispatches::plan.eq(&plan.text),
                dispatches::subject.eq(&plan.subject),
                dispatches::sender.eq(&plan.sender),
                dispatches::held_back.eq(held_back),
            ),
            (
                dispatches::status.eq(DispatchStatus::Running.as_str()),
                dispatches::last_participant_id.eq(last),
                dispatches::lease_token.eq(who.token.to_string()),
                dispatches::lease_beat.eq(1),
                dispatches::lease_holder.eq(&who.holder),
                dispatches::has_delivery.eq(true),
                dispatches::starts.eq(1),
                dispatches::created_at.eq(who.now),
                dispatches::updated_at.eq(who.now),
                dispatches::notice_source.eq(Some(new.source.as_str())),
            ),
        ))
        .execute(conn)?;
    Ok(())
}

/// The notifications that are known before anything is read.
fn list(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    listed: &[Addressee],
    plan: &NewPlan,
    who: &Claimant,
) -> Result<(), DbError> {
    if listed.is_empty() {
        return Ok(());
    }
    let rows = listed.iter();
    let rows: Vec<NewNotification> = rows
        .map(|addressee| NewNotification::listed(addressee, dispatch, &plan.domain, who.now))
        .collect();
    insert_new(conn, dispatch, &rows)?;
    Ok(())
}
