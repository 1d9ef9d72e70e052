//! The section `slack`.

use super::keys::Keys;
use crate::config::{WebhookUrl, channel};
use crate::policy::SlackSettings;

const MAX_MENTIONS: usize = 50;

pub(super) fn slack(mut keys: Keys<'_>, insecure_hosts: &[String]) -> SlackSettings {
    let enabled = keys.boolean("enabled").unwrap_or(true);
    if enabled && !keys.has("webhook_url") {
        keys.problem("webhook_url", "is missing: Slack is enabled here");
    }
    let settings = SlackSettings {
        enabled,
        webhook: keys.secret("webhook_url", |text| {
            WebhookUrl::parse(text, insecure_hosts).map_err(|e| e.to_string())
        }),
        // Some write the webhook there.
        channel: keys.secret("channel", channel),
        mention_users: keys.list("mention_users", MAX_MENTIONS, user).unwrap_or_default(),
        mention_channel: keys.boolean("mention_channel").unwrap_or_default(),
    };
    keys.finish();
    settings
}

/// An id and nothing that could be markup.
fn user(text: &str) -> Result<String, String> {
    let fits =
        (2..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    fits.then(|| text.to_owned())
        .ok_or_else(|| "the id of a user or group in Slack such as U0123ABCD".to_owned())
}
