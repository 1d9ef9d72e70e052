//! Notifications that came into the ledger with their outcome: an address that can be no mailbox, somebody who
//! is not told on purpose.

use diesel::prelude::*;

use super::connection::AnyConnection;
use super::error::DbError;
use super::schema::notifications;
use crate::domain::{Channel, DispatchId, NotificationId, NotificationStatus};

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledRow {
    /// Its id.
    pub id: NotificationId,
    /// By what way it would have gone.
    pub channel: Channel,
    /// To whom, if that is known.
    pub recipient: Option<String>,
    /// `failed` or `suppressed`.
    pub status: NotificationStatus,
    /// Why.
    pub error: String,
}

/// Id, channel, recipient, status and error.
type Columns = (i64, String, Option<String>, String, Option<String>);

const SETTLED: [&str; 2] = [
    NotificationStatus::Failed.as_str(),
    NotificationStatus::Suppressed.as_str(),
];

/// The failed and suppressed notifications of a dispatch with ids above `after`, by id.
pub fn settled_rows(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    after: NotificationId,
) -> Result<Vec<SettledRow>, DbError> {
    let rows: Vec<Columns> = notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::status.eq_any(SETTLED))
        .filter(notifications::id.gt(after.0))
        .order(notifications::id)
        .select((
            notifications::id,
            notifications::channel,
            notifications::recipient,
            notifications::status,
            notifications::error,
        ))
        .load(conn)?;
    let fault = |what: &str| DbError::Fault(format!("notifications.{what}: not a word of the ledger"));
    rows.into_iter()
        .map(|(id, channel, recipient, status, error)| {
            Ok(SettledRow {
                id: NotificationId(id),
                channel: channel.parse().map_err(|_| fault("channel"))?,
                recipient,
                status: status.parse().map_err(|_| fault("status"))?,
                error: error.unwrap_or_default(),
            })
        })
        .collect()
}

/// The highest id among them: under the dispatch's row lock, those above it are the ones that were added since.
pub(super) fn last_settled(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
) -> Result<NotificationId, DbError> {
    let last = notifications::table
        .filter(notifications::dispatch_id.eq(dispatch.to_string()))
        .filter(notifications::status.eq_any(SETTLED))
        .select(diesel::dsl::max(notifications::id))
        .first::<Option<i64>>(conn)?;
    Ok(NotificationId(last.unwrap_or(0)))
}
