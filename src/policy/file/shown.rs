//! A configuration as the API and the command line show it: every key with its effective value, secrets
//! masked, and what came from a variable by the variable's name.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::placeholders::OPEN;
use crate::config::{TlsMode, WebhookUrl};
use crate::domain::{EmailAddress, TenantId};
use crate::policy::{EmailSettings, OwnRelay, Providers, SlackSettings, TenantConfig, Trigger};

/// Stands for a password.
const MASK: &str = "***";
/// Keys whose value is a secret, wherever it comes from.
const SECRETS: &[&str] = &["smtp_password", "webhook_url"];

/// `config` as JSON; `given` is the file's own. What is null is left to the environment.
pub(in crate::policy) fn shown(
    config: &TenantConfig,
    tenant: Option<&TenantId>,
    given: Option<&Value>,
) -> Value {
    let named = || given.and_then(|file| file.get("tenant_id")?.as_str().map(str::to_owned));
    let mut value = json!({
        "enabled": config.enabled,
        "tenant_id": tenant.map(ToString::to_string).or_else(named),
        "muted": config.muted,
        "weight": number(config.weight),
        "default_provider": config.default_provider.map(word),
        "max_retries": config.max_retries,
        "retry_delay_seconds": config.retry_delay.map(seconds),
        "timeout_seconds": config.timeout.map(seconds),
        "email": config.email.as_ref().map(email),
        "slack": config.slack.as_ref().map(slack),
        "event_triggers": config.triggers.iter().map(trigger).collect::<Vec<_>>(),
    });
    if let (Value::Object(shown), Some(Value::Object(given))) = (&mut value, given) {
        keep_placeholders(shown, given);
    }
    value
}

fn email(settings: &EmailSettings) -> Value {
    let relay = settings.relay.as_ref();
    json!({
        "enabled": settings.enabled,
        "smtp_host": relay.map(|r| &r.host),
        "smtp_port": relay.map(|r| r.port),
        "smtp_username": relay.and_then(|r| r.credentials.as_ref()).map(|(user, _)| user),
        "smtp_password": relay.and_then(|r| r.credentials.as_ref()).map(|_| MASK),
        "smtp_use_tls": relay.map(|OwnRelay { tls, .. }| *tls != TlsMode::None),
        "from_email": settings.from.as_ref().map(EmailAddress::as_str),
        "from_name": settings.from_name.as_ref().map(ToString::to_string),
        "to_emails": addresses(&settings.to),
        "cc_emails": addresses(&settings.cc),
    })
}

fn addresses(list: &[EmailAddress]) -> Vec<&str> {
    list.iter().map(EmailAddress::as_str).collect()
}

fn slack(settings: &SlackSettings) -> Value {
    json!({
        "enabled": settings.enabled,
        "webhook_url": settings.webhook.as_ref().map(WebhookUrl::shown),
        "channel": settings.channel,
        "mention_users": settings.mention_users,
        "mention_channel": settings.mention_channel,
    })
}

fn trigger(trigger: &Trigger) -> Value {
    json!({
        "event": trigger.kind.as_str(),
        "enabled": trigger.enabled,
        "severity": trigger.severity,
        "providers": trigger.providers.map(|providers| [word(providers)]),
        "cooldown_seconds": trigger.cooldown.map(seconds),
    })
}

const fn word(providers: Providers) -> &'static str {
    match (providers.email, providers.slack) {
        (true, false) => "email",
        (false, true) => "slack",
        (true, true) => "both",
        (false, false) => "none",
    }
}

fn seconds(duration: Duration) -> Value {
    number(duration.as_secs_f64())
}

/// As people write it: without `.0`.
fn number(n: f64) -> Value {
    n.to_string().parse().unwrap_or(Value::Null)
}

/// Puts each string of `given` that has a placeholder in the place of what it was filled with; a list with
/// one such string is shown as it stands in the file.
fn keep_placeholders(shown: &mut Map<String, Value>, given: &Map<String, Value>) {
    for (key, given) in given {
        let Some(shown) = shown.get_mut(key).filter(|_| !SECRETS.contains(&key.as_str())) else {
            continue;
        };
        match (shown, given) {
            (shown, given) if has_placeholder(given) => *shown = given.clone(),
            (Value::Object(shown), Value::Object(given)) => keep_placeholders(shown, given),
            (Value::Array(shown), Value::Array(given)) => {
                for pair in shown.iter_mut().zip(given) {
                    if let (Value::Object(shown), Value::Object(given)) = pair {
                        keep_placeholders(shown, given);
                    }
                }
            }
            _ => {}
        }
    }
}

fn has_placeholder(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(OPEN),
        Value::Array(items) => items
            .iter()
            .any(|item| item.as_str().is_some_and(|text| text.contains(OPEN))),
        _ => false,
    }
}
