//! The numbers by name, made once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, OnceLock};

use metrics::{Counter, Gauge, Histogram};

use super::book::{Book, COMMIT_SECONDS, DELIVERY_SECONDS};
use super::lock;
use super::suppression::Suppression;
use crate::domain::{Channel, DispatchStatus, NotificationStatus};

/// What becomes of a notification; the others are on their way.
const OUTCOMES: [NotificationStatus; 6] = [
    NotificationStatus::Sent,
    NotificationStatus::Deferred,
    NotificationStatus::Failed,
    NotificationStatus::Unknown,
    NotificationStatus::Suppressed,
    NotificationStatus::Cancelled,
];

const CHANNELS: [Channel; 2] = [Channel::Email, Channel::Slack];

/// What a dispatch is that is not closed.
const OPEN: [DispatchStatus; 3] = [
    DispatchStatus::Running,
    DispatchStatus::Paused,
    DispatchStatus::Waiting,
];

/// Codes that a relay may say.
const CODES: std::ops::Range<u16> = 200..600;

pub(super) struct Families {
    notifications: [[Counter; OUTCOMES.len()]; CHANNELS.len()],
    open: [Gauge; OPEN.len()],
    replies: [OnceLock<Counter>; 400],
    queue: OnceLock<Gauge>,
    pub(super) suppressed: [Counter; Suppression::ALL.len()],
    pub(super) dispatches: Family<(&'static str, &'static str)>,
    pub(super) dead_letters: Family<&'static str>,
    pub(super) completions: Family<&'static str>,
    pub(super) completions_pending: Gauge,
    pub(super) requests: Family<(&'static str, String, u16)>,
    pub(super) delivery: Histogram,
    pub(super) commit: Histogram,
    pub(super) in_flight: Gauge,
    pub(super) config_invalid: Gauge,
    pub(super) websocket_clients: Gauge,
}

impl Families {
    pub(super) fn new(book: &Book) -> Self {
        let help = "The version that runs.";
        book.gauge(
            "herald_build_info",
            help,
            &[("version", env!("CARGO_PKG_VERSION"))],
        )
        .set(1);
        let gauge = |name, help| book.gauge(name, help, &[]);
        Self {
            notifications: CHANNELS
                .map(|channel| OUTCOMES.map(|status| notifications(book, channel, status))),
            open: OPEN.map(|status| {
                let help = "Dispatches of the ledger that are not closed, of all workers.";
                book.gauge("herald_dispatch_open", help, &[("status", status.as_str())])
            }),
            replies: [const { OnceLock::new() }; 400],
            queue: OnceLock::new(),
            suppressed: Suppression::ALL.map(|why| {
                let help = "Notifications that were not sent on purpose.";
                book.counter("herald_suppressed_total", help, &[("reason", why.as_str())])
            }),
            dispatches: Family::new("herald_dispatches_total", "Dispatches that were closed here."),
            dead_letters: Family::new(
                "herald_dead_letters_total",
                "Messages that became dead letters here.",
            ),
            completions: Family::new(
                "herald_completions_total",
                "Completions that were done here, and tries that failed.",
            ),
            completions_pending: gauge(
                "herald_completions_pending",
                "Completions in the outbox, of all workers.",
            ),
            requests: Family::new("herald_http_requests_total", "Answers of the HTTP API."),
            delivery: book.histogram(
                DELIVERY_SECONDS,
                "From the acceptance of a message to that of one of its notifications by the relay.",
            ),
            commit: book.histogram(COMMIT_SECONDS, "Commits of outcomes, each of a group."),
            in_flight: gauge(
                "herald_in_flight",
                "Notifications that are handed over and whose outcome is not yet committed.",
            ),
            config_invalid: gauge(
                "herald_config_invalid",
                "Configuration files that cannot be used.",
            ),
            websocket_clients: gauge("herald_websocket_clients", "Clients of the live push."),
        }
    }

    pub(super) fn notification(&self, channel: Channel, status: NotificationStatus) -> Option<&Counter> {
        let channel = CHANNELS.iter().position(|c| *c == channel)?;
        let status = OUTCOMES.iter().position(|s| *s == status)?;
        Some(&self.notifications[channel][status])
    }

    pub(super) fn open(&self, status: DispatchStatus) -> Option<&Gauge> {
        OPEN.iter().position(|s| *s == status).map(|at| &self.open[at])
    }

    /// Not there before it is known.
    pub(super) fn queue(&self, book: &Book) -> &Gauge {
        let help = "Messages that wait in the main queue, none of them handed to a worker.";
        self.queue
            .get_or_init(|| book.gauge("herald_queue_messages", help, &[]))
    }

    pub(super) fn reply(&self, book: &Book, code: u16) {
        if !CODES.contains(&code) {
            return;
        }
        let counter = self.replies[usize::from(code - CODES.start)].get_or_init(|| {
            let help = "Replies of relays that decided about an e-mail or refused a connection.";
            book.counter("herald_smtp_replies_total", help, &[("code", &code.to_string())])
        });
        counter.increment(1);
    }
}

fn notifications(book: &Book, channel: Channel, status: NotificationStatus) -> Counter {
    let labels = [("channel", channel.as_str()), ("status", status.as_str())];
    let help = "Outcomes of notifications in the ledger.";
    book.counter("herald_notifications_total", help, &labels)
}

/// Counters of one name whose labels are not known before.
pub(super) struct Family<K> {
    name: &'static str,
    help: &'static str,
    known: Mutex<HashMap<K, Counter>>,
}

impl<K: Eq + Hash> Family<K> {
    fn new(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            known: Mutex::default(),
        }
    }

    pub(super) fn add(&self, book: &Book, key: K, labels: &[(&'static str, &str)]) {
        self.add_many(book, key, labels, 1);
    }

    pub(super) fn add_many(&self, book: &Book, key: K, labels: &[(&'static str, &str)], count: u64) {
        lock(&self.known)
            .entry(key)
            .or_insert_with(|| book.counter(self.name, self.help, labels))
            .increment(count);
    }
}
