//! From the bytes of a tenant's file to a [`TenantConfig`], or to all that is wrong with it at once, each with
//! its path. Neither shows a secret or what a variable holds.

mod email;
mod keys;
mod placeholders;
mod shown;
mod slack;
#[cfg(test)]
mod tests;
mod triggers;

use std::time::Duration;

use keys::{Keys, Notes};

use super::problem::KeyProblem;
use super::tenant::{Providers, TenantConfig};
use crate::config::Environment;
use crate::domain::TenantId;
use crate::message::json::{Json, parse_object};

pub(super) use shown::shown;

/// Bytes of a file at most.
pub(super) const MAX_FILE: usize = 256 * 1024;

const PROVIDERS: &str = "email, slack or both";
const HOUR: f64 = 3_600.0;

/// What surrounds a file.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    /// The folder's name; `None` for the root's file.
    pub(super) tenant: Option<&'a TenantId>,
    /// For `${NAME}`.
    pub(super) environment: &'a Environment,
    /// Further hosts that webhooks may be at.
    pub(super) insecure_hosts: &'a [String],
}

/// A file that can be used.
pub(super) struct Read {
    pub(super) config: TenantConfig,
    /// All its keys as JSON with their effective values, secrets masked and `${NAME}` not filled in.
    pub(super) shown: String,
}

/// Reads a file's bytes.
pub(super) fn read(bytes: &[u8], context: Context<'_>) -> Result<Read, Vec<KeyProblem>> {
    let whole = |reason: String| {
        let path = String::new();
        vec![KeyProblem { path, reason }]
    };
    if bytes.len() > MAX_FILE {
        return Err(whole(too_large(bytes.len() as u64)));
    }
    let object =
        parse_object(bytes).map_err(|refusal| whole(refusal.error.replacen("the body", "the file", 1)))?;
    let given = Json::Object(object.clone()).into_value();
    let notes = Notes::new(context.environment);
    let config = config(Keys::root(object, &notes), context);
    let config = notes.finish(config)?;
    let shown = shown(&config, context.tenant, Some(&given)).to_string();
    Ok(Read { config, shown })
}

/// Why a file of that size is not read.
pub(super) fn too_large(bytes: u64) -> String {
    format!("the file has {bytes} bytes, {MAX_FILE} at most are taken")
}

fn config(mut keys: Keys<'_>, context: Context<'_>) -> TenantConfig {
    if !keys.has("enabled") {
        keys.problem("enabled", "is missing: true or false");
    }
    let enabled = keys.boolean("enabled").unwrap_or_default();
    tenant_id(&mut keys, context.tenant);
    let weight = keys.number("weight", "a number from 0.01 to 1000", |n| {
        (0.01..=1_000.0).contains(&n)
    });
    let delay = keys.number("retry_delay_seconds", "a number of seconds from 0 to 3600", |n| {
        (0.0..=HOUR).contains(&n)
    });
    let timeout = keys.number(
        "timeout_seconds",
        "a number of seconds above 0, at most 3600",
        |n| n > 0.0 && n <= HOUR,
    );
    let config = TenantConfig {
        enabled,
        muted: keys.boolean("muted").unwrap_or_default(),
        weight: weight.unwrap_or(1.0),
        default_provider: keys.parsed("default_provider", providers),
        max_retries: keys.integer("max_retries", 0..=100),
        retry_delay: delay.and_then(seconds),
        timeout: timeout.and_then(seconds).map(|d| d.max(Duration::from_millis(1))),
        email: keys.section("email").map(email::email),
        slack: keys
            .section("slack")
            .map(|slack| slack::slack(slack, context.insecure_hosts)),
        triggers: triggers::triggers(keys.sections("event_triggers", 50)),
    };
    keys.finish();
    config
}

/// A tenant's file that was copied must not speak for another one. The root's may name whom it likes.
fn tenant_id(keys: &mut Keys<'_>, folder: Option<&TenantId>) {
    keys.parsed("tenant_id", |text| {
        let id = text.parse::<TenantId>().map_err(|e| format!("an id ({e})"))?;
        match folder {
            Some(folder) if *folder != id => Err(format!("the name of its folder, {folder}")),
            _ => Ok(()),
        }
    });
}

fn providers(word: &str) -> Result<Providers, String> {
    let (email, slack) = match word {
        "email" => (true, false),
        "slack" => (false, true),
        "both" => (true, true),
        _ => return Err(PROVIDERS.to_owned()),
    };
    Ok(Providers { email, slack })
}

fn seconds(n: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(n).ok()
}
