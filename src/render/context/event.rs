//! `event`: what the e-mails about events are made of.

use serde::Serialize;

use crate::domain::one_line;
use crate::message::{Change, EventKind, MessageKind};

use super::super::facts::EventFacts;
use super::super::names;
use super::super::text::{label, line};
use super::super::when::{self, Zone};
use super::MAX_TITLE;

/// Longest location shown, in characters.
const MAX_LOCATION: usize = 300;
/// Longest old or new value of a change shown, in characters.
const MAX_VALUE: usize = 500;
/// Longest label of a change shown, in characters.
const MAX_LABEL: usize = 80;
/// Changes shown; of the rest only the number is told.
const MAX_CHANGES: usize = 20;
/// Longest link, in bytes; clients cut longer ones, and half a link is worse than none.
const MAX_URL: usize = 2000;

/// `event`: what is known of the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventContext {
    /// `created`, `updated` or `cancelled`.
    pub kind: &'static str,
    /// The event's id.
    pub id: i64,
    /// Its title, `Event #123` where that is unknown.
    pub title: String,
    /// When it takes place.
    pub when: Option<WhenContext>,
    /// Where it takes place.
    pub location: Option<String>,
    /// Its page.
    pub url: Option<String>,
    /// What changed, at most 20.
    pub changes: Vec<ChangeContext>,
    /// How many further changes there are.
    pub more_changes: usize,
}

/// `event.when`: in the event's zone, else in the offset that was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WhenContext {
    /// `Tuesday, 1 December 2026`
    pub start_date: String,
    /// `18:00`
    pub start_time: String,
    /// The same of the end, where that is another day.
    pub end_date: Option<String>,
    /// When it ends, where that is known.
    pub end_time: Option<String>,
    /// `Europe/Berlin, CET` or `UTC+01:00`
    pub zone: String,
    /// RFC 3339, for templates that word it themselves.
    pub starts_at: String,
    /// RFC 3339.
    pub ends_at: Option<String>,
}

/// `event.changes`: one changed field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeContext {
    /// The field's name as the publisher gave it.
    pub field: String,
    /// The same for readers: `starts_at` becomes `Starts at`.
    pub label: String,
    /// What it was.
    pub from: Option<String>,
    /// What it is now.
    pub to: Option<String>,
}

impl EventContext {
    /// The facts, cleaned and worded.
    pub fn new(facts: &EventFacts) -> Self {
        let details = &facts.details;
        let zone = Zone::of(details);
        let link = details
            .url
            .as_ref()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.as_str().len() <= MAX_URL);
        let when = when::words(details, zone);
        let shown_zone = zone.filter(|_| when.is_some());
        Self {
            kind: names::name(MessageKind::Event(facts.kind)),
            id: facts.event_id.get(),
            title: line(details.title.as_ref(), MAX_TITLE)
                .unwrap_or_else(|| format!("Event #{}", facts.event_id)),
            when,
            location: line(details.location.as_ref(), MAX_LOCATION),
            url: link.map(ToString::to_string),
            changes: facts
                .changes
                .iter()
                .take(MAX_CHANGES)
                .map(|c| ChangeContext::new(c, shown_zone))
                .collect(),
            more_changes: facts.changes.len().saturating_sub(MAX_CHANGES),
        }
    }

    /// An event of which everything is known.
    pub fn sample(kind: EventKind) -> Self {
        Self::new(&EventFacts::sample(kind))
    }
}

impl ChangeContext {
    fn new(change: &Change, zone: Option<Zone>) -> Self {
        let field = one_line(&change.field, MAX_LABEL);
        let value = |value: &Option<String>| {
            let line = one_line(value.as_deref()?, MAX_VALUE);
            let line = when::moment(&line, zone).unwrap_or(line);
            (!line.is_empty()).then_some(line)
        };
        Self {
            label: label(&field, MAX_LABEL),
            field,
            from: value(&change.from),
            to: value(&change.to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cleaned_and_bounded() {
        let mut facts = EventFacts::sample(EventKind::Updated);
        facts.details.title = Some("A\r\nBcc: eve@example.com".to_owned() + &"x".repeat(10_000));
        facts.details.location = Some(" \u{202e}\r\n ".to_owned());
        facts.details.url = "javascript:alert(1)".parse().ok();
        facts.changes = vec![facts.changes[0].clone(); 23];
        facts.changes[0].to = Some("y".repeat(1000));
        let event = EventContext::new(&facts);
        assert!(event.title.starts_with("A Bcc: eve@example.com"));
        assert_eq!(event.title.chars().count(), MAX_TITLE);
        assert_eq!((event.location, event.url), (None, None));
        assert_eq!((event.changes.len(), event.more_changes), (MAX_CHANGES, 3));
        assert_eq!(event.changes[0].to.as_ref().unwrap().chars().count(), MAX_VALUE);
    }

    #[test]
    fn links_that_clients_would_cut_are_left_out() {
        let mut facts = EventFacts::sample(EventKind::Created);
        facts.details.url = format!("https://example.com/{}", "a".repeat(MAX_URL))
            .parse()
            .ok();
        assert_eq!(EventContext::new(&facts).url, None);
    }
}
