//! `NOTIFICATIONS_*`, and the variables that stand in for the root's file.

use std::path::PathBuf;

use secrecy::SecretString;
use url::Host;

use super::email::{SUBMISSIONS, address, host, user_and_password};
use super::reader::{Reader, Takes};
use super::values::integer;
use super::webhook::channel;
use super::{TlsMode, WebhookUrl};
use crate::domain::EmailAddress;

/// Addresses of one list at most.
pub const MAX_ADDRESSES: usize = 50;

/// Where tenants are configured, and what applies without files.
#[derive(Debug, Clone)]
pub struct NotificationsConfig {
    /// `NOTIFICATIONS_ENABLED`: false suppresses messages about pipelines.
    pub enabled: bool,
    /// `NOTIFICATIONS_CONFIG_PATH`: the folder of the root's `config.json`; tenants' folders are beside it.
    pub path: PathBuf,
    /// The root where there is no `config.json`.
    pub root: RootVariables,
    /// `SLACK_ALLOW_INSECURE_HOSTS`: hosts that webhooks may be at besides Slack's; lower case.
    pub insecure_hosts: Vec<String>,
}

/// `EMAIL_*` and `SLACK_*` as far as they are enabled.
#[derive(Debug, Clone, Default)]
pub struct RootVariables {
    /// `EMAIL_NOTIFICATIONS_ENABLED` and its companions.
    pub email: Option<RootEmail>,
    /// `SLACK_NOTIFICATIONS_ENABLED` and its companions.
    pub slack: Option<RootSlack>,
}

/// The root's e-mail.
#[derive(Debug, Clone)]
pub struct RootEmail {
    /// `EMAIL_SMTP_*`; without a host the relay of `SMTP_*` applies whole.
    pub relay: Option<OwnRelay>,
    /// `EMAIL_FROM_ADDRESS`: instead of `FROM_EMAIL`.
    pub from: Option<EmailAddress>,
    /// `EMAIL_TO_ADDRESSES`, at least one.
    pub to: Vec<EmailAddress>,
}

/// The root's Slack.
#[derive(Debug, Clone)]
pub struct RootSlack {
    /// `SLACK_WEBHOOK_URL`.
    pub webhook: WebhookUrl,
    /// `SLACK_CHANNEL`.
    pub channel: Option<String>,
}

/// A relay besides that of `SMTP_*`.
#[derive(Debug, Clone)]
pub struct OwnRelay {
    /// Host name or address.
    pub host: String,
    /// TCP port, 1 … 65535.
    pub port: u16,
    /// User name and password for AUTH.
    pub credentials: Option<(String, SecretString)>,
    /// Whether and how the conversation is encrypted.
    pub tls: TlsMode,
}

pub(super) fn notifications(r: &mut Reader<'_>) -> NotificationsConfig {
    let insecure_hosts = r.value("SLACK_ALLOW_INSECURE_HOSTS", Vec::new(), hosts);
    let path = r.text("NOTIFICATIONS_CONFIG_PATH");
    NotificationsConfig {
        enabled: r.boolean("NOTIFICATIONS_ENABLED", true),
        path: PathBuf::from(path.unwrap_or_else(|| "./configs/notifications".to_owned())),
        root: RootVariables {
            email: email(r),
            slack: slack(r, &insecure_hosts),
        },
        insecure_hosts,
    }
}

fn email(r: &mut Reader<'_>) -> Option<RootEmail> {
    let enabled = r.boolean("EMAIL_NOTIFICATIONS_ENABLED", false);
    let relay = relay(r);
    let from = r.optional("EMAIL_FROM_ADDRESS", address);
    let missing = enabled && r.text("EMAIL_TO_ADDRESSES").is_none();
    let to = r.value("EMAIL_TO_ADDRESSES", Vec::new(), addresses);
    if missing {
        r.problem(
            "EMAIL_TO_ADDRESSES",
            "has to be set where EMAIL_NOTIFICATIONS_ENABLED is true",
        );
    }
    enabled.then_some(RootEmail { relay, from, to })
}

fn relay(r: &mut Reader<'_>) -> Option<OwnRelay> {
    let given = r.text("EMAIL_SMTP_HOST").is_some();
    let host = r.optional("EMAIL_SMTP_HOST", host);
    let port = r.value("EMAIL_SMTP_PORT", 587, integer(1..=u16::MAX));
    let credentials = user_and_password(r, "EMAIL_SMTP_USERNAME", "EMAIL_SMTP_PASSWORD");
    if credentials.is_some() && !given {
        r.problem(
            "EMAIL_SMTP_HOST",
            "has to be set where EMAIL_SMTP_USERNAME is: without it the relay of SMTP_* applies whole",
        );
    }
    Some(OwnRelay {
        host: host?,
        port,
        credentials,
        tls: if port == SUBMISSIONS {
            TlsMode::Implicit
        } else {
            TlsMode::StartTls
        },
    })
}

fn slack(r: &mut Reader<'_>, insecure_hosts: &[String]) -> Option<RootSlack> {
    let enabled = r.boolean("SLACK_NOTIFICATIONS_ENABLED", false);
    let missing = enabled && r.text("SLACK_WEBHOOK_URL").is_none();
    let webhook = r.secret("SLACK_WEBHOOK_URL", |s| {
        WebhookUrl::parse(s, insecure_hosts).map_err(|e| e.to_string())
    });
    // Some write the webhook there.
    let channel = r.secret("SLACK_CHANNEL", channel);
    if missing {
        r.problem(
            "SLACK_WEBHOOK_URL",
            "has to be set where SLACK_NOTIFICATIONS_ENABLED is true",
        );
    }
    let webhook = webhook.filter(|_| enabled)?;
    Some(RootSlack { webhook, channel })
}

/// Addresses separated by commas, each kept once.
fn addresses(s: &str) -> Result<Vec<EmailAddress>, Takes> {
    let mut kept = Vec::new();
    for part in s.split(',') {
        let address = part
            .parse::<EmailAddress>()
            .map_err(|e| format!("e-mail addresses separated by commas ({e})"))?;
        if !kept.contains(&address) {
            kept.push(address);
        }
    }
    if kept.len() > MAX_ADDRESSES {
        return Err(format!("at most {MAX_ADDRESSES} e-mail addresses"));
    }
    Ok(kept)
}

/// Host names or addresses separated by commas, as they stand in a parsed URL.
pub(super) fn hosts(s: &str) -> Result<Vec<String>, Takes> {
    s.split(',')
        .map(|part| {
            let valid = host(part.trim())?;
            Ok(match Host::parse(&valid) {
                Ok(Host::Domain(name)) => name,
                _ => valid,
            })
        })
        .collect::<Result<_, Takes>>()
        .map_err(|_| "host names or IP addresses separated by commas, without port".to_owned())
}
