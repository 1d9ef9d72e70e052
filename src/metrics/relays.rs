//! Which relays pass. Tenants bring relays of their own, so there may be any number: the first hundred have
//! a name here, the rest is one number.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::Gauge;

use super::book::Book;
use super::{Metrics, lock, number};

/// Relays with a name of their own.
const NAMED: usize = 100;

const NAME: &str = "herald_relay_open";
const HELP: &str = "1 while a relay passes, 0 while its lane is closed; of \"other\" the number that passes.";

#[derive(Default)]
pub(super) struct Relays(Mutex<State>);

#[derive(Default)]
struct State {
    named: HashMap<String, Named>,
    other: Option<(usize, Gauge)>,
}

struct Named {
    /// Of lanes with different logins at one relay.
    closed: usize,
    gauge: Gauge,
}

impl State {
    /// A lane that closes (or opens) for a relay with a name, or one more (or less) that passes among the others.
    fn change(&mut self, name: &str, passes: bool) {
        if let Some(named) = self.named.get_mut(name) {
            named.closed = if passes {
                named.closed.saturating_sub(1)
            } else {
                named.closed + 1
            };
            named.gauge.set(if named.closed == 0 { 1.0 } else { 0.0 });
        } else if let Some((open, gauge)) = &mut self.other {
            *open = if passes { *open + 1 } else { open.saturating_sub(1) };
            gauge.set(number(*open));
        }
    }
}

impl Relays {
    pub(super) fn open(&self, book: &Book, name: &str) {
        let mut state = lock(&self.0);
        if state.named.contains_key(name) {
            return;
        }
        if state.named.len() < NAMED {
            let gauge = book.gauge(NAME, HELP, &[("relay", name)]);
            gauge.set(1.0);
            state.named.insert(name.to_owned(), Named { closed: 0, gauge });
            return;
        }
        let other = || (0, book.gauge(NAME, HELP, &[("relay", "other")]));
        state.other.get_or_insert_with(other);
        state.change(name, true);
    }
}

/// How one lane stands with its relay. When it goes, nothing wrong is known any more.
pub struct RelayGauge {
    metrics: Metrics,
    name: String,
    open: AtomicBool,
}

impl RelayGauge {
    pub(super) fn new(metrics: Metrics, name: &str) -> Self {
        Self {
            metrics,
            name: name.to_owned(),
            open: AtomicBool::new(true),
        }
    }

    /// It passes, or it does not.
    pub fn set(&self, open: bool) {
        if self.open.swap(open, Ordering::Relaxed) != open {
            lock(&self.metrics.0.relays.0).change(&self.name, open);
        }
    }
}

impl Drop for RelayGauge {
    fn drop(&mut self) {
        let open = self.open.load(Ordering::Relaxed);
        let mut state = lock(&self.metrics.0.relays.0);
        match (state.named.contains_key(&self.name), open) {
            (true, false) => state.change(&self.name, true),
            (false, true) => state.change(&self.name, false),
            (true, true) | (false, false) => {}
        }
    }
}
