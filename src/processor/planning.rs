//! From a message to the dispatch that it is to become: whose it is, what is made of it, and what the ledger
//! has to know. What cannot be planned may still be in the ledger already: that is asked first.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use sha2::{Digest, Sha256};

use super::engine::Engine;
use super::known;
use crate::consumer::Delivery;
use crate::domain::{DispatchId, Source};
use crate::failpoint;
use crate::message::{EventDetails, Message, Reason};
use crate::policy::{self, Plan, Planned, Resolution, Tenancy};
use crate::render::{Composer, TemplateSets};
use crate::repository::{self, Accepted, DbError, Equals, MessageKey, NewDispatch, NewPlan};

/// Why a message was not accepted.
pub(super) enum Refused {
    /// The ledger does not answer, or somebody was faster.
    Database(DbError),
    /// Somebody is just writing its tenant's file.
    NotYet,
    /// It can never be told.
    ForGood(Reason, String),
    /// Our own doing: a template or a plan that cannot be written.
    Impossible(String),
}

/// Finds or inserts the dispatch of a message; returns when the transaction began as well.
pub(super) async fn accept(
    engine: &Arc<Engine>,
    delivery: &Delivery,
    message: &Message,
    equals: &Equals,
    conflicts: u64,
) -> Result<(Accepted, Instant), Refused> {
    let planned = plan(engine, message).await;
    let (planned, refused) = match planned {
        Ok(planned) => (Some(planned), None),
        Err(Refused::Database(error)) => return Err(Refused::Database(error)),
        Err(refused) => (None, Some(refused)),
    };
    let new = NewDispatch {
        conflicts,
        source: engine.source,
        ..new_dispatch(delivery, message, planned)
    };
    let (who, equals) = (engine.claimant(true), equals.clone());
    let began = Instant::now();
    failpoint::reached("s2-before");
    let accepted = engine
        .db
        .write(move |conn| repository::accept(conn, &new, &who, &equals))
        .await;
    failpoint::reached("s2-after");
    match (accepted.map_err(Refused::Database)?, refused) {
        (Accepted::Unplanned, Some(refused)) => Err(refused),
        (accepted, _) => Ok((accepted, began)),
    }
}

/// Plans a message with all that is configured and known now.
async fn plan(engine: &Arc<Engine>, message: &Message) -> Result<NewPlan, Refused> {
    let details = match message {
        Message::Event(event) => {
            let id = event.event_id.get();
            let row = engine.db.read(move |conn| repository::event_row(conn, id)).await;
            known::details(row.map_err(Refused::Database)?.unwrap_or_default())
        }
        Message::Order(_) | Message::Pipeline(_) => EventDetails::default(),
    };
    let tenancy = tenancy(engine, message).await?;
    let planned = policy::plan(message, details, &tenancy, &engine.surroundings);
    let now = (engine.now)();
    let composer =
        compose(&engine.templates, &planned.plan, now, 0)
            .await
            .map_err(|unready| match unready {
                Unready::Configuration(error) => Refused::ForGood(Reason::TenantConfig, error),
                Unready::Program(error) => Refused::Impossible(error),
            })?;
    new_plan(planned, &composer).map_err(Refused::Impossible)
}

/// Whose message it is. Only pipelines, and what names a tenant, ask the configuration files.
async fn tenancy(engine: &Arc<Engine>, message: &Message) -> Result<Tenancy, Refused> {
    let people = !matches!(message, Message::Pipeline(_));
    let tenant = message.tenant_id().cloned();
    if people && tenant.is_none() {
        return Ok(Tenancy::Environment);
    }
    let (tenants, now) = (engine.tenants.clone(), SystemTime::from((engine.now)()));
    let resolve = move || tenants.resolve(tenant.as_ref(), now);
    let resolution = tokio::task::spawn_blocking(resolve).await;
    Ok(
        match resolution.map_err(|e| Refused::Impossible(e.to_string()))? {
            Resolution::Tenant(id, config) => Tenancy::Tenant(id, config),
            // Without files the environment's identity and relay are meant, not the list's.
            Resolution::Root { from_file: false, .. } | Resolution::Nothing if people => Tenancy::Environment,
            Resolution::Root { config, .. } => Tenancy::Root(config),
            Resolution::Nothing => Tenancy::Disabled("notifications are not configured"),
            Resolution::Disabled(why) => Tenancy::Disabled(why),
            Resolution::Invalid(problem) => {
                return Err(Refused::ForGood(Reason::TenantConfig, problem.to_string()));
            }
            Resolution::Changing => return Err(Refused::NotYet),
        },
    )
}

/// Why there is no e-mail to be made of a plan.
pub(super) enum Unready {
    /// The tenant's templates: to be mended by whoever wrote them.
    Configuration(String),
    /// Anything else.
    Program(String),
}

/// Prepares what all recipients of a plan share.
pub(super) async fn compose(
    templates: &Arc<TemplateSets>,
    plan: &Plan,
    created_at: chrono::DateTime<chrono::Utc>,
    held_back: u64,
) -> Result<Composer, Unready> {
    let (sets, tenant) = (Arc::clone(templates), plan.tenant.clone());
    // It looks at files.
    let templates = tokio::task::spawn_blocking(move || sets.of(tenant.as_ref())).await;
    let templates = templates.map_err(|e| Unready::Program(e.to_string()))?;
    let templates = templates.map_err(|e| Unready::Configuration(e.to_string()))?;
    let composer = Composer::new(templates, &plan.facts, &plan.identity, created_at);
    let composer = composer.map_err(|e| match plan.tenant {
        Some(_) => Unready::Configuration(e.to_string()),
        None => Unready::Program(e.to_string()),
    });
    Ok(composer?.held_back(held_back))
}

fn new_plan(planned: Planned, composer: &Composer) -> Result<NewPlan, String> {
    let Planned {
        plan,
        audience,
        cooldown,
    } = planned;
    Ok(NewPlan {
        text: plan.to_text().map_err(|e| e.to_string())?,
        subject: composer.subject().to_owned(),
        sender: plan.sender.to_string(),
        domain: plan.identity.address.domain().to_owned(),
        audience,
        cooldown,
    })
}

fn new_dispatch(delivery: &Delivery, message: &Message, plan: Option<NewPlan>) -> NewDispatch {
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
    let (event_id, order_id) = match message {
        Message::Event(event) => (Some(event.event_id), None),
        Message::Order(order) => (None, Some(order.order.order_id.clone())),
        Message::Pipeline(_) => (None, None),
    };
    NewDispatch {
        id: DispatchId::generate(),
        key,
        message_id: delivery
            .message_id
            .as_deref()
            .map(|id| crate::domain::one_line(id, 255)),
        body: delivery.body.clone(),
        body_hash: hash(&[&delivery.body]),
        kind: message.kind().as_str(),
        tenant_id: message.tenant_id().cloned(),
        event_id,
        order_id,
        version: message.version(),
        plan,
        redelivered: delivery.redelivered,
        source: Source::Amqp,
        conflicts: 0,
    }
}
