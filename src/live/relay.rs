//! Tells when the lane to a relay closes and opens.

use super::event::text;
use super::{Event, Live};
use crate::metrics::RelayGauge;

/// One lane's way to tell.
pub struct RelayMark {
    live: Live,
    name: String,
    gauge: Option<RelayGauge>,
}

impl std::fmt::Debug for RelayMark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RelayMark").field(&self.name).finish()
    }
}

impl RelayMark {
    pub(super) fn new(live: Live, name: &str, counted: bool) -> Self {
        Self {
            gauge: counted.then(|| live.metrics().relay(name)),
            name: name.to_owned(),
            live,
        }
    }

    /// It is closed, for this.
    pub fn closed(&self, reply: &str) {
        self.tell("closed", Some(text(reply)));
    }

    /// It is open again.
    pub fn opened(&self) {
        self.tell("open", None);
    }

    fn tell(&self, state: &str, reply: Option<String>) {
        if let Some(gauge) = &self.gauge {
            gauge.set(reply.is_none());
        }
        self.live.emit(Event::RelayState {
            relay: self.name.clone(),
            state: state.to_owned(),
            reply,
        });
    }
}
