//! The variables that stand in for the root's file.

use std::sync::Arc;

use super::shared::Adopted;
use crate::config::RootVariables;
use crate::policy::file;
use crate::policy::{EmailSettings, SlackSettings, TenantConfig};

/// `None` where neither e-mail nor Slack is enabled.
pub(super) fn root(variables: &RootVariables) -> Option<Adopted> {
    if variables.email.is_none() && variables.slack.is_none() {
        return None;
    }
    let config = TenantConfig {
        enabled: true,
        muted: false,
        weight: 1.0,
        default_provider: None,
        max_retries: None,
        retry_delay: None,
        timeout: None,
        email: variables.email.as_ref().map(|email| EmailSettings {
            enabled: true,
            relay: email.relay.clone(),
            from: email.from.clone(),
            from_name: None,
            to: email.to.clone(),
            cc: Vec::new(),
        }),
        slack: variables.slack.as_ref().map(|slack| SlackSettings {
            enabled: true,
            webhook: Some(slack.webhook.clone()),
            channel: slack.channel.clone(),
            mention_users: Vec::new(),
            mention_channel: false,
        }),
        triggers: Vec::new(),
    };
    Some(Adopted {
        digest: [0; 32],
        shown: file::shown(&config, None, None).to_string().into(),
        config: Arc::new(config),
    })
}
