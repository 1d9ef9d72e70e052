//! What is counted, as Prometheus asks for it. Counting is an addition to a number that is there already: it
//! never waits and allocates nothing for an e-mail. No label can take more values than are listed here: never
//! an address, never an id.

mod book;
mod families;
mod relays;
mod suppression;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{Channel, DispatchStatus, NotificationStatus};
use book::Book;
use families::Families;
use relays::Relays;

pub use relays::RelayGauge;
pub use suppression::Suppression;

/// All that this process counts; clones are the same.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    book: Book,
    families: Families,
    relays: Relays,
    /// Asked when somebody wants to know.
    in_flight: Mutex<Option<InFlight>>,
}

/// Says how much is under way.
type InFlight = Box<dyn Fn() -> usize + Send + Sync>;

impl Default for Metrics {
    fn default() -> Self {
        let book = Book::new();
        let families = Families::new(&book);
        Self(Arc::new(Inner {
            relays: Relays::default(),
            in_flight: Mutex::default(),
            families,
            book,
        }))
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Everything, in Prometheus' text format.
    pub fn render(&self) -> String {
        if let Some(in_flight) = lock(&self.0.in_flight).as_ref() {
            self.0.families.in_flight.set(number(in_flight()));
        }
        self.0.book.render()
    }

    /// To be called now and then: what histograms were told since the last time takes memory until then.
    pub fn upkeep(&self) {
        self.0.book.upkeep();
    }

    /// The ledger has outcomes of notifications.
    pub fn notifications(&self, channel: Channel, status: NotificationStatus, count: u64) {
        if let Some(counter) = self.0.families.notification(channel, status) {
            counter.increment(count);
        }
    }

    /// A dispatch was closed.
    pub fn dispatch_closed(&self, kind: &'static str, status: DispatchStatus) {
        let labels = [("type", kind), ("status", status.as_str())];
        let dispatches = &self.0.families.dispatches;
        dispatches.add(&self.0.book, (kind, status.as_str()), &labels);
    }

    /// From the acceptance of a dispatch to that of one of its notifications at the relay.
    pub fn delivered_after(&self, seconds: f64) {
        self.0.families.delivery.record(seconds);
    }

    /// A relay said this to an e-mail.
    pub fn smtp_reply(&self, code: u16) {
        self.0.families.reply(&self.0.book, code);
    }

    /// The ledger took a group of outcomes.
    pub fn ledger_commit(&self, seconds: f64) {
        self.0.families.commit.record(seconds);
    }

    /// A dead letter was stored by the broker; `count` 0 makes the reason known.
    pub fn dead_letters(&self, reason: &'static str, count: u64) {
        let labels = [("reason", reason)];
        let letters = &self.0.families.dead_letters;
        letters.add_many(&self.0.book, reason, &labels, count);
    }

    /// A completion was done (`noticed`, `finalised`) or is not yet (`failed`).
    pub fn completion(&self, result: &'static str) {
        let completions = &self.0.families.completions;
        completions.add(&self.0.book, result, &[("result", result)]);
    }

    /// Completions in the outbox.
    pub fn completions_pending(&self, count: u64) {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.0.families.completions_pending.set(number(count));
    }

    /// A notification that is not sent on purpose.
    pub fn suppressed(&self, why: Suppression) {
        self.0.families.suppressed[why as usize].increment(1);
    }

    /// Messages that wait in the main queue.
    pub fn queue_messages(&self, count: u32) {
        self.0.families.queue(&self.0.book).set(count);
    }

    /// Dispatches of the ledger that are not closed, with this status.
    pub fn dispatches_open(&self, status: DispatchStatus, count: u64) {
        if let Some(gauge) = self.0.families.open(status) {
            gauge.set(number(usize::try_from(count).unwrap_or(usize::MAX)));
        }
    }

    /// Where to ask how many notifications are handed over without a committed outcome.
    pub fn ask_in_flight(&self, ask: impl Fn() -> usize + Send + Sync + 'static) {
        *lock(&self.0.in_flight) = Some(Box::new(ask));
    }

    /// A relay, as long as the answer is kept: it passes until something else is said of it.
    pub fn relay(&self, name: &str) -> RelayGauge {
        self.0.relays.open(&self.0.book, name);
        RelayGauge::new(self.clone(), name)
    }

    /// Configuration files that cannot be used.
    pub fn config_invalid(&self, files: usize) {
        self.0.families.config_invalid.set(number(files));
    }

    /// A client of the live push came, or went.
    pub fn websocket_clients(&self, more: bool) {
        let clients = &self.0.families.websocket_clients;
        if more {
            clients.increment(1);
        } else {
            clients.decrement(1);
        }
    }

    /// An answer of the API; `route` as it is declared, never as it was asked for.
    pub fn http_request(&self, method: &'static str, route: &str, status: u16) {
        let text = status.to_string();
        let labels = [("method", method), ("route", route), ("status", text.as_str())];
        let requests = &self.0.families.requests;
        requests.add(&self.0.book, (method, route.to_owned(), status), &labels);
    }
}

#[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^52")]
fn number(count: usize) -> f64 {
    count as f64
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_there() {
        let metrics = Metrics::default();
        metrics.notifications(Channel::Email, NotificationStatus::Sent, 3);
        metrics.notifications(Channel::Email, NotificationStatus::Pending, 3);
        metrics.dispatch_closed("UPDATED", DispatchStatus::Partial);
        metrics.smtp_reply(250);
        metrics.smtp_reply(7);
        metrics.delivered_after(0.2);
        metrics.ask_in_flight(|| 7);
        metrics.suppressed(Suppression::Muted);
        metrics.dispatches_open(DispatchStatus::Waiting, 2);
        metrics.completions_pending(4);
        metrics.completion("noticed");
        let text = metrics.render();
        for line in [
            "herald_notifications_total{channel=\"email\",status=\"sent\"} 3",
            "herald_notifications_total{channel=\"slack\",status=\"failed\"} 0",
            "herald_dispatches_total{type=\"UPDATED\",status=\"partial\"} 1",
            "herald_smtp_replies_total{code=\"250\"} 1",
            "herald_delivery_seconds_bucket{le=\"0.25\"} 1",
            "herald_delivery_seconds_count 1",
            "herald_in_flight 7",
            "herald_suppressed_total{reason=\"muted\"} 1",
            "herald_dispatch_open{status=\"waiting\"} 2",
            "herald_completions_pending 4",
            "herald_completions_total{result=\"noticed\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert!(
            !text.contains("status=\"pending\"") && !text.contains("code=\"7\""),
            "{text}"
        );
        assert!(
            !text.contains("herald_queue_messages{") && !text.contains("herald_queue_messages "),
            "{text}"
        );
    }

    #[test]
    fn relays_have_an_end() {
        let metrics = Metrics::default();
        let relays: Vec<_> = (0..130).map(|n| metrics.relay(&format!("r{n}:25"))).collect();
        relays[0].set(false);
        relays[129].set(false);
        let text = metrics.render();
        assert!(text.contains("herald_relay_open{relay=\"r0:25\"} 0"), "{text}");
        assert!(text.contains("herald_relay_open{relay=\"r99:25\"} 1"));
        assert!(!text.contains("r100:25"));
        assert!(text.contains("herald_relay_open{relay=\"other\"} 29"), "{text}");
        drop(relays);
        let text = metrics.render();
        assert!(text.contains("herald_relay_open{relay=\"r0:25\"} 1"), "{text}");
        assert!(text.contains("herald_relay_open{relay=\"other\"} 0"), "{text}");
    }
}
