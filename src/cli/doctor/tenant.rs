//! What is configured for one tenant: its files, and where they lead. Nothing is mailed, and nothing appears
//! in a channel.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Finding, Findings, base_templates, in_time, relay, unusable};
use crate::config::Config;
use crate::domain::TenantId;
use crate::policy::{EffectiveState, Resolution, TenantConfig, Tenants};
use crate::render::TemplateSets;
use crate::slack::{Posted, Webhook};

/// A post without anything to show.
const EMPTY: &[u8] = b"{}";

/// What Slack answers to it, with 400, where the webhook is good.
const NOTHING_TO_SHOW: [&str; 2] = ["no_text", "invalid_payload"];

/// Why nothing is tried where nobody's configuration applies.
const DISABLED: &str = "notifications are disabled";

pub(super) async fn findings(config: &Config, id: &TenantId) -> Findings {
    let tenants = Tenants::new(&config.notifications, &config.environment);
    let resolution = tenants.resolve(Some(id), SystemTime::now());
    let mut findings = vec![
        ("tenant", tenant(&tenants, id)),
        ("templates", templates(config, &tenants, id)),
    ];
    // A file that cannot be used says nothing of a relay or a webhook, and nobody's stands in.
    let applies = match resolution {
        Resolution::Tenant(_, applies) | Resolution::Root { config: applies, .. } => Ok(Some(applies)),
        Resolution::Nothing => Ok(None),
        Resolution::Disabled(_) => Err(DISABLED),
        Resolution::Invalid(_) | Resolution::Changing => return findings,
    };
    findings.push(("relay", in_time(relay(config, applies.clone())).await));
    findings.push(("webhook", in_time(webhook(config, applies)).await));
    findings
}

/// Whose configuration applies, and what is wrong with it.
fn tenant(tenants: &Tenants, id: &TenantId) -> Finding {
    let effective = tenants.effective(id);
    if let Some(error) = effective.error {
        return Err(error);
    }
    let place = effective.file.unwrap_or_else(|| "the environment".to_owned());
    let muted = effective.config.is_some_and(|config| config["muted"] == true);
    Ok(match effective.state {
        EffectiveState::Disabled => format!("disabled, by {place}"),
        state if muted => format!("{}, by {place}; muted: nothing is told", state.as_str()),
        state => format!("{}, by {place}", state.as_str()),
    })
}

fn templates(config: &Config, tenants: &Tenants, id: &TenantId) -> Finding {
    let sets = TemplateSets::new(config.templates_dir.as_deref(), Some(tenants.folder()));
    sets.and_then(|sets| sets.of(Some(id)))
        .map_err(|error| unusable(&error))?;
    let base = base_templates(config);
    let own = tenants.folder().join(id.as_str()).join("templates");
    Ok(if Path::is_dir(&own) {
        format!("{base}, under those from {}", own.display())
    } else {
        base
    })
}

/// The relay of its e-mails: its own, or the environment's.
async fn relay(config: &Config, applies: Result<Option<Arc<TenantConfig>>, &str>) -> Finding {
    let environment = &config.email.relay;
    let relay = match applies {
        Err(why) => return Ok(why.to_owned()),
        Ok(None) => environment.clone(),
        Ok(Some(applies)) if applies.email.as_ref().is_some_and(|email| !email.enabled) => {
            return Ok("e-mail is disabled".into());
        }
        Ok(Some(applies)) => applies.relay(environment),
    };
    relay::check(config, &relay).await
}

/// Slack refuses a post without anything to show only behind everything that it refuses a webhook for.
async fn webhook(config: &Config, applies: Result<Option<Arc<TenantConfig>>, &str>) -> Finding {
    let applies = match applies {
        Err(why) => return Ok(why.to_owned()),
        Ok(applies) => applies,
    };
    let Some((url, limit)) = applies.as_ref().and_then(|applies| applies.webhook()) else {
        return Ok("none is configured".into());
    };
    let slack = applies.as_ref().and_then(|applies| applies.slack.as_ref());
    if slack.is_some_and(|slack| !slack.enabled) {
        return Ok("Slack is disabled".into());
    }
    if config.email.dummy {
        return Ok("dummy mode: no webhook is used".into());
    }
    let ca = config.email.relay.tls_ca.as_deref();
    let webhook = Webhook::new(url.clone(), limit, ca).map_err(|e| e.to_string())?;
    judge(&webhook.shown(), webhook.post(EMPTY.to_vec(), || true).await)
}

fn judge(shown: &str, posted: Posted) -> Finding {
    match posted {
        Posted::RefusedForGood { status: 400, text } if NOTHING_TO_SHOW.contains(&text.as_str()) => {
            Ok(format!("{shown} takes posts"))
        }
        Posted::Accepted => Ok(format!("{shown} takes anything, even an empty post")),
        Posted::RefusedForGood { status, text } | Posted::RefusedForNow { status, text, .. } => {
            Err(format!("{shown} answers {status} {text}"))
        }
        Posted::Unsent(why) | Posted::Unknown(why) => Err(format!("{shown}: {why}")),
        Posted::Withheld => Err(format!("{shown}: the post was held back")),
    }
}
