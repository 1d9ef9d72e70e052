//! S2 from the worker's side: from a message to a dispatch under a lease, or to the knowledge that
//! somebody else takes care of it. A holder is overtaken only after a whole LEASE without a sign of life,
//! by our own monotonic clock, or when it is provably dead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::doubts::Doubts;
use super::engine::Engine;
use super::lease::Backing;
use super::planning::{Refused, accept};
use crate::consumer::Delivery;
use crate::domain::{DispatchId, DispatchStatus};
use crate::message::{Message, Reason};
use crate::repository::{self, Accepted, Claim, DbError, Equals, Seen};

/// Waits between tries while the database is away, and at least between two looks at a lease.
const PAUSE: Duration = Duration::from_millis(500);

/// Before somebody who was faster is looked at.
const CONFLICT_PAUSE: Duration = Duration::from_millis(20);

/// What became of a message.
pub(super) enum Intake {
    /// Ours to work off; the transaction that took the lease began at this moment.
    Mine(Claim, Instant),
    /// This process works on it already: its end is this delivery's end, too.
    Ours(DispatchId, Backing),
    /// The ledger has it: ack.
    Settled(DispatchId, DispatchStatus),
    /// The same id came before with another body.
    Conflict(DispatchId),
    /// It can never be told: to be dead-lettered.
    Refused(Reason, String),
    /// The delivery went away meanwhile, or it is time to stop; the broker brings it again.
    Gone,
    /// It cannot be told to anybody: a template or a stored plan is broken.
    Impossible(String),
}

/// Takes a message in, waiting as long as it takes. A stop is heeded between the steps, never within one:
/// a lease that was just taken must be known to somebody.
pub(super) async fn take_in(
    engine: &Arc<Engine>,
    delivery: &Arc<Delivery>,
    message: &Message,
    stop: &CancellationToken,
) -> Intake {
    let mut equals = Equals::default();
    let mut doubts = Doubts::default();
    let mut conflicts = 0;
    loop {
        if !delivery.is_live() || stop.is_cancelled() {
            return Intake::Gone;
        }
        let seen = match accept(engine, delivery, message, &equals, conflicts).await {
            Ok((Accepted::Mine(claim), began)) => return Intake::Mine(claim, began),
            Ok((Accepted::Settled(id, status), _)) => return Intake::Settled(id, status),
            Ok((Accepted::Conflict(id), _)) => return Intake::Conflict(id),
            // `accept` has said why there is no plan.
            Ok((Accepted::Unplanned, _)) => return Intake::Gone,
            Ok((Accepted::Held(seen), _)) => seen,
            Ok((Accepted::Doubtful(doubt), _)) => {
                if !doubts.decide(&doubt, engine.leases.period(), &mut equals) {
                    stop.run_until_cancelled(tokio::time::sleep(pause(engine))).await;
                }
                continue;
            }
            Err(Refused::Database(error)) => {
                if error.is_conflict() {
                    conflicts += 1;
                    tokio::time::sleep(CONFLICT_PAUSE).await;
                } else {
                    tracing::warn!(%error, "cannot accept a message; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
            Err(Refused::NotYet) => {
                stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
                continue;
            }
            Err(Refused::ForGood(reason, error)) => return Intake::Refused(reason, error),
            Err(Refused::Impossible(why)) => return Intake::Impossible(why),
        };
        let anonymous = delivery.message_id.is_none();
        match engine.leases.own(seen.dispatch) {
            Some(Backing::Live) if anonymous => equals.others.push(seen.dispatch),
            Some(Backing::Never) if anonymous && !delivery.redelivered => equals.others.push(seen.dispatch),
            Some(backing) => {
                if engine.leases.adopt(seen.dispatch, delivery) {
                    if let Err(error) = set_delivered(engine, seen.dispatch, true).await {
                        tracing::debug!(%error, "an adopted delivery is not recorded");
                    }
                    return Intake::Ours(seen.dispatch, backing);
                }
            }
            None => match watch(engine, delivery, seen, anonymous, stop).await {
                Watched::Claimed(claim, began) => return Intake::Mine(claim, began),
                Watched::HasOwnDelivery(id) => equals.others.push(id),
                Watched::Changed => {}
            },
        }
    }
}

/// Between two looks at what somebody else is about to do.
fn pause(engine: &Engine) -> Duration {
    (engine.leases.period() / 6).clamp(Duration::from_millis(20), PAUSE)
}

enum Watched {
    Claimed(Claim, Instant),
    /// An equal message without id is behind that dispatch: the one at hand is another.
    HasOwnDelivery(DispatchId),
    /// Something moved: ask again.
    Changed,
}

/// Watches a lease that another process holds, until it ends, changes hands or falls silent.
async fn watch(
    engine: &Engine,
    delivery: &Delivery,
    first: Seen,
    anonymous: bool,
    stop: &CancellationToken,
) -> Watched {
    let period = engine.leases.period();
    let mut seen = first;
    let mut since = Instant::now();
    let mut adopted = false;
    loop {
        let dead = seen.holder.as_deref().is_some_and(repository::is_dead);
        if dead || since.elapsed() >= period {
            tracing::info!(dispatch.id = %seen.dispatch, dead, "taking over a dispatch whose worker is silent");
            return take_over(engine, seen).await;
        }
        let paused = stop.run_until_cancelled(tokio::time::sleep(pause(engine))).await;
        if paused.is_none() || !delivery.is_live() {
            if adopted && let Err(error) = set_delivered(engine, seen.dispatch, false).await {
                tracing::debug!(%error, "a lost delivery is not recorded");
            }
            return Watched::Changed;
        }
        let dispatch = seen.dispatch;
        let now = match engine
            .db
            .read(move |conn| repository::observe(conn, dispatch))
            .await
        {
            Ok(Some(now)) => now,
            Ok(None) => return Watched::Changed,
            Err(error) => {
                tracing::debug!(%error, "cannot look at a lease");
                since = Instant::now(); // silence that nobody could hear is none
                continue;
            }
        };
        if now.status != DispatchStatus::Running || now.token.is_none() {
            return Watched::Changed;
        }
        if (&now.token, now.beat) != (&seen.token, seen.beat) {
            since = Instant::now();
            if anonymous && !adopted {
                if now.has_delivery {
                    return Watched::HasOwnDelivery(dispatch);
                }
                adopted = matches!(set_delivered(engine, dispatch, true).await, Ok(true));
            }
        }
        seen = now;
    }
}

/// Records whether some worker has the delivery of a running dispatch; false when that was known.
async fn set_delivered(engine: &Engine, dispatch: DispatchId, delivered: bool) -> Result<bool, DbError> {
    let set = engine
        .db
        .write(move |conn| repository::set_delivered(conn, dispatch, delivered));
    set.await
}

async fn take_over(engine: &Engine, seen: Seen) -> Watched {
    let began = Instant::now();
    let who = engine.claimant(true);
    match engine
        .db
        .write(move |conn| repository::take_over(conn, &seen, &who))
        .await
    {
        Ok(Some(claim)) => Watched::Claimed(claim, began),
        Ok(None) => Watched::Changed,
        Err(error) => {
            tracing::warn!(%error, "cannot take a dispatch over; trying again");
            tokio::time::sleep(PAUSE).await;
            Watched::Changed
        }
    }
}
