//! S2 from the worker's side: from a message to a dispatch under a lease, or to the knowledge that
//! somebody else takes care of it. A holder is overtaken only after a whole LEASE without a sign of life,
//! by our own monotonic clock, or when it is provably dead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::doubts::Doubts;
use super::engine::Engine;
use super::holder;
use super::lease::Backing;
use crate::consumer::Delivery;
use crate::domain::{DispatchId, DispatchStatus};
use crate::failpoint;
use crate::message::EventMessage;
use crate::policy::{self, Plan};
use crate::render::Composer;
use crate::repository::{self, Accepted, Claim, DbError, Equals, MessageKey, NewDispatch, Seen};

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
    /// The delivery went away meanwhile, or it is time to stop; the broker brings it again.
    Gone,
    /// It cannot be told to anybody: a template or a stored plan is broken.
    Impossible(String),
}

/// Takes a message in, waiting as long as it takes. A stop is heeded between the steps, never within one:
/// a lease that was just taken must be known to somebody.
pub(super) async fn take_in(
    engine: &Engine,
    delivery: &Arc<Delivery>,
    message: &EventMessage,
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
        let dead = seen.holder.as_deref().is_some_and(holder::is_dead);
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

enum Refused {
    Database(DbError),
    Impossible(String),
}

async fn accept(
    engine: &Engine,
    delivery: &Delivery,
    message: &EventMessage,
    equals: &Equals,
    conflicts: u64,
) -> Result<(Accepted, Instant), Refused> {
    let event_id = message.event_id.get();
    let row = engine
        .db
        .read(move |conn| repository::event_row(conn, event_id))
        .await;
    let row = row.map_err(Refused::Database)?.unwrap_or_default();
    let surroundings = policy::Surroundings {
        identity: engine.identity.clone(),
        pipelines_enabled: true,
    };
    let plan = policy::plan(
        &crate::message::Message::Event(message.clone()),
        super::known::details(row),
        &policy::Tenancy::Environment,
        &surroundings,
    )
    .plan;
    let now = (engine.now)();
    let subject = compose(engine, &plan, now)
        .map_err(Refused::Impossible)?
        .subject()
        .to_owned();
    let mut new = new_dispatch(delivery, message, &plan, subject).map_err(Refused::Impossible)?;
    new.conflicts = conflicts;
    let (who, equals) = (engine.claimant(true), equals.clone());
    let began = Instant::now();
    failpoint::reached("s2-before");
    let accepted = engine
        .db
        .write(move |conn| repository::accept(conn, &new, &who, &equals))
        .await;
    failpoint::reached("s2-after");
    Ok((accepted.map_err(Refused::Database)?, began))
}

/// Prepares what all recipients of a plan share.
pub(super) fn compose(
    engine: &Engine,
    plan: &Plan,
    created_at: chrono::DateTime<chrono::Utc>,
) -> Result<Composer, String> {
    let policy::Facts::Event(facts) = &plan.facts else {
        return Err("later".into());
    };
    Composer::new(Arc::clone(&engine.templates), facts, &plan.identity, created_at).map_err(|e| e.to_string())
}

fn new_dispatch(
    delivery: &Delivery,
    message: &EventMessage,
    plan: &Plan,
    subject: String,
) -> Result<NewDispatch, String> {
    let hash = |parts: &[&[u8]]| {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hex::encode(hasher.finalize())
    };
    let queue = delivery.queue.as_bytes();
    let key = match &delivery.message_id {
        Some(id) => MessageKey::Named(format!("i:{}", hash(&[queue, id.as_bytes()]))),
        None => MessageKey::Anonymous(format!("a:{}", hash(&[queue, &delivery.body]))),
    };
    Ok(NewDispatch {
        id: DispatchId::generate(),
        key,
        message_id: delivery
            .message_id
            .as_deref()
            .map(|id| crate::domain::one_line(id, 255)),
        body: delivery.body.clone(),
        body_hash: hash(&[&delivery.body]),
        kind: message.kind.as_str(),
        tenant_id: message.tenant_id.clone(),
        event_id: message.event_id,
        version: message.version,
        plan: plan.to_text().map_err(|e| e.to_string())?,
        subject,
        redelivered: delivery.redelivered,
        conflicts: 0,
    })
}
