//! One dispatch in work, as it is told. Its counts begin with the ledger's and follow each commit, so that
//! nobody has to ask the ledger how far it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::event::text;
use super::tally::Counting;
use super::{Event, Live, Tally};
use crate::domain::{Channel, DispatchId, DispatchStatus, NotificationId, NotificationStatus};
use crate::metrics::Suppression;

/// A dispatch on which work begins.
#[derive(Debug, Clone)]
pub struct Started {
    /// Which.
    pub dispatch: DispatchId,
    /// The message's type.
    pub kind: &'static str,
    /// On whose behalf.
    pub tenant: Option<String>,
    /// About which event.
    pub event: Option<i64>,
    /// About which order.
    pub order: Option<String>,
    /// When its message was accepted.
    pub accepted: DateTime<Utc>,
}

impl From<Started> for Event {
    fn from(started: Started) -> Self {
        Self::DispatchStarted {
            dispatch_id: started.dispatch.to_string(),
            message_type: started.kind.to_owned(),
            tenant_id: started.tenant,
            event_id: started.event,
            order_id: started.order,
        }
    }
}

/// A notification that had its outcome when it came into the ledger.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Which.
    pub id: NotificationId,
    /// By what way it would have gone.
    pub channel: Channel,
    /// To whom.
    pub recipient: Option<String>,
    /// Why not; in one word where that was on purpose.
    pub error: String,
    /// Not sent on purpose; else it is failed.
    pub suppressed: Option<Suppression>,
}

/// What the ledger has of a notification now.
#[derive(Debug)]
pub enum Became {
    /// The relay took it.
    Sent,
    /// Given up: to whom, and why.
    Failed(String, String),
    /// Not this time, from the ledger later.
    Deferred,
    /// Nobody can know.
    Unknown,
    /// Its failure was taken back.
    Reopened,
    /// As open as before.
    Same,
}

/// A dispatch in work.
#[derive(Debug)]
pub struct Running {
    live: Live,
    dispatch: DispatchId,
    kind: &'static str,
    accepted: Option<Instant>,
    counts: Counting,
    changed: AtomicBool,
}

impl Running {
    pub(super) fn new(live: Live, started: &Started, now: DateTime<Utc>) -> Self {
        let age = (now - started.accepted).to_std().unwrap_or(Duration::ZERO);
        Self {
            live,
            dispatch: started.dispatch,
            kind: started.kind,
            accepted: Instant::now().checked_sub(age),
            counts: Counting::default(),
            changed: AtomicBool::new(false),
        }
    }

    /// What the ledger has of it when work begins.
    pub fn found(&self, counts: Tally) {
        self.counts.set(counts);
        self.changed.store(true, Ordering::Relaxed);
    }

    /// A page of the audience is in the ledger: so many to be told, and these that are not.
    pub fn read(&self, pending: usize, settled: &[Settled]) {
        self.counts.add(NotificationStatus::Pending, pending as u64);
        for one in settled {
            let status = match one.suppressed {
                Some(_) => NotificationStatus::Suppressed,
                None => NotificationStatus::Failed,
            };
            self.counts.add(status, 1);
        }
        self.settled(settled);
        self.changed.store(true, Ordering::Relaxed);
    }

    /// These came into the ledger with their outcome, and are among its counts.
    pub fn settled(&self, settled: &[Settled]) {
        let metrics = self.live.metrics();
        for one in settled {
            if let Some(why) = one.suppressed {
                metrics.notifications(one.channel, NotificationStatus::Suppressed, 1);
                metrics.suppressed(why);
            } else {
                self.failed(one.id, one.channel, one.recipient.as_deref(), &one.error);
            }
        }
    }

    /// An outcome is in the ledger.
    pub fn committed(&self, id: NotificationId, channel: Channel, became: &Became) {
        let status = match became {
            Became::Sent => NotificationStatus::Sent,
            Became::Failed(recipient, error) => {
                self.failed(id, channel, Some(recipient), error);
                NotificationStatus::Failed
            }
            Became::Deferred => NotificationStatus::Deferred,
            Became::Unknown => NotificationStatus::Unknown,
            Became::Reopened => {
                let (failed, pending) = (NotificationStatus::Failed, NotificationStatus::Pending);
                self.counts.move_one(failed, pending);
                return self.changed.store(true, Ordering::Relaxed);
            }
            Became::Same => return,
        };
        if status == NotificationStatus::Sent {
            self.live.0.sent.fetch_add(1, Ordering::Relaxed);
            if let Some(accepted) = self.accepted {
                let metrics = self.live.metrics();
                metrics.delivered_after(accepted.elapsed().as_secs_f64());
            }
        }
        if status != NotificationStatus::Failed {
            self.live.metrics().notifications(channel, status, 1);
        }
        self.counts.move_one(NotificationStatus::Pending, status);
        self.changed.store(true, Ordering::Relaxed);
    }

    fn failed(&self, id: NotificationId, channel: Channel, recipient: Option<&str>, error: &str) {
        self.live
            .metrics()
            .notifications(channel, NotificationStatus::Failed, 1);
        self.live.0.failed.fetch_add(1, Ordering::Relaxed);
        self.live.emit(Event::NotificationFailed {
            notification_id: id.0,
            dispatch_id: self.dispatch.to_string(),
            recipient: recipient.map(text),
            error: text(error),
        });
    }

    /// Work on it has ended: closed, with these counts, or left for later as `status` says.
    pub fn ended(&self, status: DispatchStatus, counts: Tally) {
        self.changed.store(false, Ordering::Relaxed);
        if status.is_closed() {
            return self
                .live
                .dispatch_closed(self.dispatch, self.kind, status, counts);
        }
        self.live.emit(Event::DispatchProgress {
            dispatch_id: self.dispatch.to_string(),
            status: status.as_str().to_owned(),
            counts,
        });
    }

    /// The same where the ledger was not asked again.
    pub fn left(&self, status: DispatchStatus) {
        self.ended(status, self.counts.get());
    }

    pub(super) fn tell_progress(self: Arc<Self>) {
        if self.changed.swap(false, Ordering::Relaxed) {
            self.live.emit(Event::DispatchProgress {
                dispatch_id: self.dispatch.to_string(),
                status: DispatchStatus::Running.as_str().to_owned(),
                counts: self.counts.get(),
            });
        }
    }
}
