//! Dispatches that are given up: closed as `failed`, and their message becomes a dead letter. Why stands in the
//! ledger, so that whoever comes to a message of such a dispatch later knows that, too.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::closing::counts;
use super::connection::AnyConnection;
use super::cooldown;
use super::error::DbError;
use super::lease::under;
use super::outbox;
use super::pages::OPEN;
use super::schema::{dispatches, notifications};
use super::start::Starting;
use crate::domain::{DispatchId, DispatchStatus, NotificationStatus};

/// What stands in the ledger where nothing came of five starts.
const EXHAUSTED: &str = "exhausted: five starts in a row ended the worker";

/// What stands before the reason where a file cannot be had.
const ATTACHMENT: &str = "attachment: ";

const DEFERRED: &str = NotificationStatus::Deferred.as_str();

/// Why a dispatch is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenUp {
    /// Nothing came of five starts.
    Exhausted,
    /// A file that is to be sent along cannot be had; which, and why.
    Attachment(String),
}

impl GivenUp {
    /// As it stands in the ledger.
    pub fn to_text(&self) -> String {
        match self {
            Self::Exhausted => EXHAUSTED.to_owned(),
            Self::Attachment(why) => format!("{ATTACHMENT}{why}"),
        }
    }

    /// The error of a dispatch or a row that was given up.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        match text.strip_prefix(ATTACHMENT) {
            Some(why) => Some(Self::Attachment(why.to_owned())),
            None => (text == EXHAUSTED).then_some(Self::Exhausted),
        }
    }
}

/// A condition for rows that were failed with their dispatch.
#[diesel::dsl::auto_type(no_type_alias)]
pub(super) fn rows_given_up() -> _ {
    let attachment: &'static str = "attachment: %";
    let exhausted: &'static str = EXHAUSTED;
    notifications::error
        .eq(exhausted)
        .or(notifications::error.like(attachment))
}

/// Gives a dispatch up: its open rows are failed and it is closed. Returns how often it was worked on.
pub fn give_up(conn: &mut AnyConnection, starting: Starting, why: &GivenUp) -> Result<u32, DbError> {
    let text = why.to_text();
    let error = Some(text.as_str());
    let closed = diesel::update(under(starting.dispatch, starting.token))
        .set((
            dispatches::status.eq(DispatchStatus::Failed.as_str()),
            dispatches::error.eq(error),
            dispatches::vain_starts.eq(0),
            dispatches::closed_at.eq(Some(starting.now)),
            dispatches::updated_at.eq(starting.now),
            dispatches::lease_token.eq(None::<String>),
            dispatches::lease_holder.eq(None::<String>),
        ))
        .execute(conn)?;
    if closed != 1 {
        return Err(DbError::LeaseLost);
    }
    let id = starting.dispatch.to_string();
    diesel::update(
        notifications::table
            .filter(notifications::dispatch_id.eq(&id))
            .filter(notifications::status.eq_any(OPEN.into_iter().chain([DEFERRED]).collect::<Vec<_>>())),
    )
    .set((
        notifications::status.eq(NotificationStatus::Failed.as_str()),
        notifications::error.eq(error),
        notifications::next_attempt_at.eq(None::<NaiveDateTime>),
        notifications::updated_at.eq(starting.now),
    ))
    .execute(conn)?;
    let counts = counts(conn, starting.dispatch)?;
    if counts.of(NotificationStatus::Sent) == 0 {
        cooldown::release(conn, starting.dispatch, starting.now)?;
    }
    outbox::closed(
        conn,
        starting.dispatch,
        (DispatchStatus::Failed, &counts),
        starting.now,
    )?;
    let starts: i32 = dispatches::table
        .find(&id)
        .select(dispatches::starts)
        .first(conn)?;
    Ok(worked_on(starts, why))
}

/// Whether a dispatch was given up while nothing proves that its dead letter is there: why, and how often it
/// was worked on.
pub fn given_up(conn: &mut AnyConnection, dispatch: DispatchId) -> Result<Option<(GivenUp, u32)>, DbError> {
    let found: Option<(i32, Option<String>)> = dispatches::table
        .find(dispatch.to_string())
        .filter(dispatches::status.eq(DispatchStatus::Failed.as_str()))
        .filter(dispatches::ack_proven.eq(false))
        .select((dispatches::starts, dispatches::error))
        .first(conn)
        .optional()?;
    let Some((starts, Some(error))) = found else {
        return Ok(None);
    };
    Ok(GivenUp::from_text(&error).map(|why| {
        let starts = worked_on(starts, &why);
        (why, starts)
    }))
}

/// The last start of an exhausted dispatch did nothing.
fn worked_on(starts: i32, why: &GivenUp) -> u32 {
    u32::try_from(starts - i32::from(*why == GivenUp::Exhausted)).unwrap_or(0)
}
