//! Whom a tenant's configuration names, and by which ways; what leads nowhere says why.

use super::tenant::{Providers, TenantConfig};
use crate::domain::{Addressee, Channel, DisplayName};
use crate::message::MessageKind;

/// The recipient of posts to a webhook whose channel is not known.
const WEBHOOK: &str = "incoming webhook";

/// Where a type goes. Without trigger and default: wherever there is somebody to tell.
pub(super) fn providers(config: &TenantConfig, kind: MessageKind) -> Providers {
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
pub(super) fn addressees(config: &TenantConfig, providers: Providers) -> Vec<Addressee> {
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

pub(super) fn nobody(reason: String) -> Addressee {
    Addressee {
        suppressed: Some(reason),
        ..nowhere(Channel::Email, "")
    }
}

/// The one row that stands for all of `listed`: names the recipient where there is only one.
pub(super) fn one_of(listed: &[Addressee], reason: String) -> Addressee {
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
