//! From a message and whose it is to what is told to whom, by which ways and in whose name. Pure: the same
//! arguments give the same plan.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::facts::{EventFacts, Facts, OrderFacts, PipelineFacts};
use super::sender::Sender;
use super::tenant::{Providers, TenantConfig};
use super::words;
use crate::domain::{Channel, DisplayName, EmailAddress, Identity, TenantId};
use crate::message::{EventDetails, EventMessage, Message, MessageKind, OrderMessage, PipelineMessage};

/// Whose message it is, as far as the configuration says.
#[derive(Debug, Clone)]
pub enum Tenancy {
    /// Nobody's in particular: `FROM_*` and `SMTP_*`.
    Environment,
    /// The tenant has a file of its own.
    Tenant(TenantId, Arc<TenantConfig>),
    /// The root stands in.
    Root(Arc<TenantConfig>),
    /// Disabled everywhere; why.
    Disabled(&'static str),
}

/// What the environment says besides.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// `FROM_EMAIL`, `FROM_NAME`.
    pub identity: Identity,
    /// `NOTIFICATIONS_ENABLED`: false suppresses pipeline messages.
    pub pipelines_enabled: bool,
}

/// How one message is to be told to its audience. It is stored with the dispatch, which so keeps the identity
/// and the words that it was accepted with.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// On whose behalf.
    pub tenant: Option<TenantId>,
    /// Whose relay and webhook.
    pub sender: Sender,
    /// Who it is from.
    pub identity: Identity,
    /// What it tells.
    pub facts: Facts,
    /// Instead of `MAX_RETRIES`.
    pub max_retries: Option<u32>,
    /// Instead of `RETRY_DELAY`.
    pub retry_delay: Option<Duration>,
    /// What all e-mails have in To and Cc; empty: each its own recipient.
    pub lists: Lists,
    /// How it is posted.
    pub slack: Option<SlackAddress>,
}

/// The headers To and Cc of e-mails that go to several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    /// To.
    pub to: Vec<EmailAddress>,
    /// Cc.
    pub cc: Vec<EmailAddress>,
}

/// What a post says besides its facts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlackAddress {
    /// Such as `#data-alerts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Slack's user ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mention_users: Vec<String>,
    /// Whether everybody is called when it is critical.
    #[serde(default)]
    pub mention_channel: bool,
}

/// A plan, with what accepting it has to write.
#[derive(Debug, Clone)]
pub struct Planned {
    /// For the whole life of the dispatch.
    pub plan: Plan,
    /// Who is told.
    pub audience: Audience,
    /// What is claimed first; if it is taken, only `Cooldown::held` is written.
    pub cooldown: Option<Cooldown>,
}

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Those that the participants table has for the event.
    Participants,
    /// These; at least one.
    Listed(Vec<Addressee>),
}

/// A notification that is known before anything is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    /// By what way.
    pub channel: Channel,
    /// An address, or for Slack what names the channel; `None` where nobody is known.
    pub recipient: Option<String>,
    /// For the greeting.
    pub name: DisplayName,
    /// Why nothing is sent.
    pub suppressed: Option<String>,
}

/// Holds equal messages back for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cooldown {
    /// Hash of tenant, type and pipeline.
    pub key: String,
    /// For how long.
    pub period: Duration,
    /// The one notification of a message that is held back.
    pub held: Addressee,
}

/// The recipient of posts to a webhook whose channel is not known.
const WEBHOOK: &str = "incoming webhook";

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
    let plan = base(facts, message, tenancy, surroundings);
    let reason = match config(tenancy) {
        Ok(None) => None,
        Ok(Some(config)) if config.email.as_ref().is_some_and(|email| !email.enabled) => {
            Some("the tenant's e-mail is disabled".to_owned())
        }
        Ok(Some(config)) => silenced(config, message.kind()),
        Err(disabled) => Some(disabled.to_owned()),
    };
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

/// Where a type goes. Without trigger and default: wherever there is somebody to tell.
fn providers(config: &TenantConfig, kind: MessageKind) -> Providers {
    let said = config.trigger(kind).and_then(|trigger| trigger.providers);
    said.or(config.default_provider).unwrap_or_else(|| {
        let slack = config
            .slack
            .as_ref()
            .is_some_and(|s| s.enabled && s.webhook.is_some());
        let email = config
            .email
            .as_ref()
            .is_some_and(|e| e.enabled && !(e.to.is_empty() && e.cc.is_empty()));
        Providers {
            email: email || !slack,
            slack,
        }
    })
}

/// A row for each address and for the post; one that says why for each way that leads nowhere.
fn addressees(config: &TenantConfig, providers: Providers) -> Vec<Addressee> {
    let mut listed = Vec::new();
    if providers.email {
        match &config.email {
            None => listed.push(nowhere(Channel::Email, "e-mail is not configured")),
            Some(email) if !email.enabled => listed.push(nowhere(Channel::Email, "e-mail is disabled")),
            Some(email) => {
                let all = email.to.iter().chain(&email.cc);
                listed.extend(all.map(|address| Addressee {
                    channel: Channel::Email,
                    recipient: Some(address.to_string()),
                    name: DisplayName::default(),
                    suppressed: None,
                }));
                if listed.is_empty() {
                    listed.push(nowhere(Channel::Email, "no e-mail recipient is configured"));
                }
            }
        }
    }
    if providers.slack {
        listed.push(match &config.slack {
            Some(slack) if !slack.enabled => nowhere(Channel::Slack, "Slack is disabled"),
            Some(slack) if slack.webhook.is_some() => Addressee {
                channel: Channel::Slack,
                recipient: Some(slack.channel.clone().unwrap_or_else(|| WEBHOOK.to_owned())),
                name: DisplayName::default(),
                suppressed: None,
            },
            _ => nowhere(Channel::Slack, "Slack is not configured"),
        });
    }
    listed
}

fn nowhere(channel: Channel, reason: &str) -> Addressee {
    Addressee {
        channel,
        recipient: None,
        name: DisplayName::default(),
        suppressed: Some(reason.to_owned()),
    }
}

fn nobody(reason: String) -> Addressee {
    Addressee {
        suppressed: Some(reason),
        ..nowhere(Channel::Email, "")
    }
}

/// The one row that stands for all of `listed`: names the recipient where there is only one.
fn one_of(listed: &[Addressee], reason: String) -> Addressee {
    match listed {
        [only] => Addressee {
            suppressed: Some(reason),
            ..only.clone()
        },
        [first, ..] => Addressee {
            channel: first.channel,
            ..nobody(reason)
        },
        [] => nobody(reason),
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
