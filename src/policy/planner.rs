//! From a message and whose it is to what is told to whom, by which ways and in whose name. Pure: the same
//! arguments give the same plan.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::facts::{EventFacts, Facts, OrderFacts, PipelineFacts};
use super::listed::{addressees, nobody, one_of, providers};
use super::plan::{Lists, Plan, Planned, SlackAddress, Surroundings, Tenancy};
use super::sender::Sender;
use super::tenant::TenantConfig;
use super::words;
use crate::domain::{Addressee, Audience, Channel, Cooldown, DisplayName, Identity, TenantId};
use crate::message::{EventDetails, EventMessage, Message, MessageKind, OrderMessage, PipelineMessage};

/// Plans `message`; `known` is what the `events` table says.
pub fn plan(
    message: &Message,
    known: EventDetails,
    tenancy: &Tenancy,
    surroundings: &Surroundings,
) -> Planned {
    match message {
        Message::Event(event) => {
            let facts = Facts::Event(event_facts(event, known));
            to_people(facts, Audience::Participants, message, tenancy, surroundings)
        }
        Message::Order(order) => {
            let audience = Audience::Listed(vec![customer(order)]);
            let facts = Facts::Order(OrderFacts {
                order: order.order.clone(),
            });
            to_people(facts, audience, message, tenancy, surroundings)
        }
        Message::Pipeline(pipeline) => to_list(pipeline, message, tenancy, surroundings),
    }
}

fn event_facts(message: &EventMessage, known: EventDetails) -> EventFacts {
    EventFacts {
        kind: message.kind,
        event_id: message.event_id,
        version: message.version,
        details: message.event.clone().or(known),
        changes: message.changes.clone(),
    }
}

fn customer(message: &OrderMessage) -> Addressee {
    Addressee {
        channel: Channel::Email,
        recipient: Some(message.customer.email.to_string()),
        name: DisplayName::clean(message.customer.name.as_deref().unwrap_or_default()),
        suppressed: None,
    }
}

/// Events and orders: e-mails to participants or a customer.
fn to_people(
    facts: Facts,
    audience: Audience,
    message: &Message,
    tenancy: &Tenancy,
    surroundings: &Surroundings,
) -> Planned {
    let mut plan = base(facts, message, tenancy, surroundings);
    let reason = match config(tenancy) {
        Ok(None) => None,
        Ok(Some(config)) if config.email.as_ref().is_some_and(|email| !email.enabled) => {
            Some("the tenant's e-mail is disabled".to_owned())
        }
        Ok(Some(config)) => silenced(config, message.kind()),
        Err(disabled) => Some(disabled.to_owned()),
    };
    if let (None, Message::Event(event)) = (&reason, message) {
        plan.attachments.clone_from(&event.attachments);
    }
    let audience = match (reason, audience) {
        (None, audience) => audience,
        (Some(reason), Audience::Participants) => Audience::Listed(vec![nobody(reason)]),
        (Some(reason), Audience::Listed(listed)) => Audience::Listed(vec![one_of(&listed, reason)]),
    };
    Planned {
        plan,
        audience,
        cooldown: None,
    }
}

/// Pipelines: e-mails and a post to whom the tenant lists.
fn to_list(
    pipeline: &PipelineMessage,
    message: &Message,
    tenancy: &Tenancy,
    surroundings: &Surroundings,
) -> Planned {
    let kind = message.kind();
    let config = match config(tenancy) {
        Ok(config) => config,
        Err(disabled) => {
            let facts = Facts::Pipeline(pipeline_facts(pipeline, None));
            return suppressed(
                base(facts, message, tenancy, surroundings),
                nobody(disabled.to_owned()),
            );
        }
    };
    let facts = Facts::Pipeline(pipeline_facts(pipeline, config));
    let mut plan = base(facts, message, tenancy, surroundings);
    let Some(config) = config else {
        return suppressed(plan, nobody(NOWHERE.to_owned()));
    };
    let listed = addressees(config, providers(config, kind));
    let reason = if surroundings.pipelines_enabled {
        silenced(config, kind)
    } else {
        Some("pipeline notifications are switched off (NOTIFICATIONS_ENABLED)".to_owned())
    };
    if let Some(reason) = reason {
        return suppressed(plan, one_of(&listed, reason));
    }
    let has = |channel| {
        listed
            .iter()
            .any(|a| a.channel == channel && a.suppressed.is_none())
    };
    if let Some(email) = config.email.as_ref().filter(|_| has(Channel::Email)) {
        plan.lists = Lists {
            to: email.to.clone(),
            cc: email.cc.clone(),
        };
    }
    if let Some(slack) = config.slack.as_ref().filter(|_| has(Channel::Slack)) {
        plan.slack = Some(SlackAddress {
            channel: slack.channel.clone(),
            mention_users: slack.mention_users.clone(),
            mention_channel: slack.mention_channel,
        });
    }
    let anybody = has(Channel::Email) || has(Channel::Slack);
    let period = config.trigger(kind).and_then(|trigger| trigger.cooldown);
    let cooldown = period
        .filter(|period| anybody && !period.is_zero())
        .map(|period| Cooldown {
            key: cooldown_key(pipeline),
            period,
            held: one_of(&listed, cooldown_reason(period)),
        });
    Planned {
        plan,
        audience: Audience::Listed(listed),
        cooldown,
    }
}

const NOWHERE: &str = "nobody is configured to be told";

fn suppressed(plan: Plan, addressee: Addressee) -> Planned {
    Planned {
        plan,
        audience: Audience::Listed(vec![addressee]),
        cooldown: None,
    }
}

/// The configuration that applies, `None`: the environment's; or why none does.
fn config(tenancy: &Tenancy) -> Result<Option<&TenantConfig>, &'static str> {
    match tenancy {
        Tenancy::Environment => Ok(None),
        Tenancy::Tenant(_, config) | Tenancy::Root(config) => Ok(Some(config)),
        Tenancy::Disabled(why) => Err(why),
    }
}

/// Why messages of this type are not told at all.
fn silenced(config: &TenantConfig, kind: MessageKind) -> Option<String> {
    if config.muted {
        return Some("the tenant is muted".to_owned());
    }
    let off = config.trigger(kind).is_some_and(|trigger| !trigger.enabled);
    off.then(|| format!("the trigger for {kind} is disabled"))
}

fn base(facts: Facts, message: &Message, tenancy: &Tenancy, surroundings: &Surroundings) -> Plan {
    let config = config(tenancy).ok().flatten();
    Plan {
        tenant: message.tenant_id().cloned(),
        sender: match tenancy {
            Tenancy::Tenant(id, _) => Sender::Tenant(id.clone()),
            Tenancy::Root(_) => Sender::Root,
            Tenancy::Environment | Tenancy::Disabled(_) => Sender::Environment,
        },
        identity: identity(config, &surroundings.identity),
        facts,
        max_retries: config.and_then(|c| c.max_retries),
        retry_delay: config.and_then(|c| c.retry_delay),
        lists: Lists::default(),
        slack: None,
        attachments: Vec::new(),
    }
}

/// A tenant's address never carries the name that belongs to the environment's.
fn identity(config: Option<&TenantConfig>, environment: &Identity) -> Identity {
    let Some(email) = config.and_then(|c| c.email.as_ref()) else {
        return environment.clone();
    };
    let inherited = match email.from {
        Some(_) => DisplayName::default(),
        None => environment.name.clone(),
    };
    Identity {
        address: email.from.clone().unwrap_or_else(|| environment.address.clone()),
        name: email.from_name.clone().unwrap_or(inherited),
    }
}

fn pipeline_facts(message: &PipelineMessage, config: Option<&TenantConfig>) -> PipelineFacts {
    let report = &message.report;
    let trigger = config.and_then(|c| c.trigger(MessageKind::Pipeline(report.kind)));
    let severity = message.severity.or_else(|| trigger.and_then(|t| t.severity));
    let said = |text: &Option<String>| text.clone().filter(|t| !t.trim().is_empty());
    PipelineFacts {
        severity: severity.unwrap_or_else(|| report.kind.default_severity()),
        title: said(&message.title).unwrap_or_else(|| words::title(report)),
        message: said(&message.message).unwrap_or_else(|| words::sentence(report)),
        tenant_id: message.tenant_id.clone(),
        report: report.clone(),
    }
}

fn cooldown_reason(period: Duration) -> String {
    format!(
        "cooldown: an equal message was told less than {} s before",
        period.as_secs_f64()
    )
}

/// Equal are messages of one tenant, type and pipeline.
fn cooldown_key(message: &PipelineMessage) -> String {
    let mut hasher = Sha256::new();
    let tenant = message.tenant_id.as_ref().map_or("", TenantId::as_str);
    let pipeline = message.report.pipeline_id.as_deref().unwrap_or_default();
    for part in [tenant, message.report.kind.as_str(), pipeline] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hex::encode(hasher.finalize())
}
