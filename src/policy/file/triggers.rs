//! The list `event_triggers`.

use super::keys::{Keys, nearest};
use super::{PROVIDERS, providers, seconds};
use crate::domain::Severity;
use crate::message::MessageKind;
use crate::policy::{Providers, Trigger};

const MAX_COOLDOWN: f64 = 30.0 * 86_400.0;

pub(super) fn triggers(sections: Vec<Keys<'_>>) -> Vec<Trigger> {
    let mut triggers: Vec<Trigger> = Vec::new();
    for mut keys in sections {
        if !keys.has("event") {
            keys.problem(
                "event",
                "is missing: the type of a message such as pipeline_failure",
            );
        }
        let kind = keys.parsed("event", kind);
        if kind.is_some_and(|kind| triggers.iter().any(|t| t.kind == kind)) {
            keys.problem("event", "has a trigger already: one for each type");
        }
        match kind {
            Some(MessageKind::Event(_)) => to_people(&keys, "the event's participants"),
            Some(MessageKind::Order(_)) => to_people(&keys, "the order's customer"),
            Some(MessageKind::Pipeline(_)) | None => {}
        }
        let enabled = keys.boolean("enabled").unwrap_or(true);
        let severity = keys.parsed("severity", severity);
        let providers = ways(&mut keys);
        let cooldown = keys.number(
            "cooldown_seconds",
            "a number of seconds from 0 to 2592000 (30 days)",
            |n| (0.0..=MAX_COOLDOWN).contains(&n),
        );
        keys.finish();
        triggers.extend(kind.map(|kind| Trigger {
            kind,
            enabled,
            severity,
            providers,
            cooldown: cooldown.and_then(seconds),
        }));
    }
    triggers
}

/// What is said to people about their event or order knows no severity and goes by e-mail alone.
fn to_people(keys: &Keys<'_>, whom: &str) {
    for name in ["severity", "providers", "cooldown_seconds"] {
        if keys.has(name) {
            let reason = format!(
                "has no meaning for this type, which goes to {whom} by e-mail; only pipelines' have it"
            );
            keys.problem(name, reason);
        }
    }
}

fn ways(keys: &mut Keys<'_>) -> Option<Providers> {
    if keys.has_empty("providers") {
        keys.problem(
            "providers",
            format!("takes a list of {PROVIDERS}, not an empty one"),
        );
    }
    let listed = keys.list("providers", 3, providers)?;
    let none = Providers {
        email: false,
        slack: false,
    };
    let all = listed.iter().fold(none, |all, one| Providers {
        email: all.email || one.email,
        slack: all.slack || one.slack,
    });
    Some(all)
}

fn kind(word: &str) -> Result<MessageKind, String> {
    MessageKind::from_word(word).ok_or_else(|| {
        let known: Vec<_> = MessageKind::all().map(MessageKind::as_str).collect();
        match nearest(word, &known) {
            Some(near) => format!("a message's type (did you mean {near}?)"),
            None => format!("a message's type: one of {}", known.join(", ")),
        }
    })
}

fn severity(word: &str) -> Result<Severity, String> {
    word.parse()
        .map_err(|_| "one of info, warning, error and critical".to_owned())
}
