//! What travels between a dispatch, its lane and the ledger.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::lane::Lane;
use super::lease::Lease;
use super::standing::Standing;
use super::window::Permit;
use crate::archive::{Page, Sheaf};
use crate::config::{DeliveryConfig, UrlTemplate};
use crate::domain::{Channel, DispatchId, NotificationId};
use crate::live::{Became, Running};
use crate::mailer::Letterhead;
use crate::policy::Plan;
use crate::render::Composer;
use crate::repository::{Taken, WorkRow};

/// Everything that the notifications of one dispatch share.
pub(super) struct Work {
    pub(super) lease: Arc<Lease>,
    pub(super) plan: Plan,
    pub(super) composer: Composer,
    /// Or why no e-mail of it can be made.
    pub(super) letterhead: Result<Letterhead, String>,
    /// What its attachments take of the memory for all.
    pub(super) _room: Option<OwnedSemaphorePermit>,
    /// Equal messages that a cooldown held back before this one.
    pub(super) held_back: u64,
    /// The tenant's share of a lane and of the window.
    pub(super) weight: f64,
    /// As the tenant wants it.
    pub(super) config: Arc<DeliveryConfig>,
    pub(super) routes: Routes,
    /// The sweeper took it up: no message is held for it.
    pub(super) swept: bool,
    pub(super) unsubscribe_url: Option<UrlTemplate>,
    /// Where its e-mails are kept, if they are.
    pub(super) sheaf: Option<Arc<Sheaf>>,
    /// Every row is marked in the ledger before anything is done with it.
    pub(super) marked: bool,
    /// One row at a time.
    pub(super) quarantined: bool,
    /// An outcome of this start is on its way into the ledger.
    pub(super) fruitful: AtomicBool,
    /// What is told of it.
    pub(super) running: Arc<Running>,
    pub(super) done: mpsc::UnboundedSender<Vec<Done>>,
}

impl Work {
    pub(super) fn dispatch(&self) -> DispatchId {
        self.lease.dispatch
    }
}

/// The way that a dispatch's notifications of one channel take.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) lane: Arc<Lane>,
    pub(super) standing: Arc<Standing>,
}

impl Route {
    /// For how long nothing has passed on it; `None` while it is open.
    pub(super) fn closed_for(&self) -> Option<Duration> {
        let (lane, identity) = (self.lane.breaker.closed_for(), self.standing.breaker.closed_for());
        lane.max(identity)
    }
}

/// The ways of a dispatch. One that it does not need is the same as another.
#[derive(Clone)]
pub(super) struct Routes {
    pub(super) email: Route,
    pub(super) slack: Route,
}

impl Routes {
    /// One way for everything.
    pub(super) fn one(way: Route) -> Self {
        Self {
            email: way.clone(),
            slack: way,
        }
    }

    pub(super) const fn of(&self, channel: Channel) -> &Route {
        match channel {
            Channel::Email => &self.email,
            Channel::Slack => &self.slack,
        }
    }

    /// Each way once.
    pub(super) fn all(&self) -> impl Iterator<Item = &Route> {
        let other = Some(&self.slack).filter(|slack| !Arc::ptr_eq(&slack.lane, &self.email.lane));
        std::iter::once(&self.email).chain(other)
    }
}

/// One notification to hand over.
pub(super) struct Job {
    pub(super) row: WorkRow,
    pub(super) work: Arc<Work>,
    /// What its e-mail is kept with.
    pub(super) page: Option<Arc<Page>>,
    /// How often the lane failed while it was at this one.
    pub(super) lane_faults: u32,
    /// What the lane had passed when it first failed at this one.
    pub(super) passed_then: u64,
}

impl Job {
    /// The same row, to be looked at once more. Its e-mail is in its page already, which must not wait for this.
    pub(super) fn again(&self) -> Self {
        Self {
            row: self.row.clone(),
            work: Arc::clone(&self.work),
            page: None,
            lane_faults: 0,
            passed_then: 0,
        }
    }

    /// Whether it may be under way together with others: not one that the lane failed at, which may be the
    /// cause, and none that is marked first.
    pub(super) fn is_ordinary(&self) -> bool {
        self.lane_faults == 0 && !self.work.marked
    }

    /// The way that it takes.
    pub(super) fn route(&self) -> &Route {
        self.work.routes.of(self.row.channel)
    }

    pub(super) fn created_at(&self) -> DateTime<Utc> {
        self.row.created_at.and_utc()
    }
}

/// Tells a dispatch that a job has left its hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) id: NotificationId,
    pub(super) how: How,
}

/// In which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Its outcome is in the ledger.
    Committed,
    /// Its outcome is in the ledger: open still, with its next time.
    Again(NaiveDateTime),
    /// Nothing happened: it is as open in the ledger as before.
    Dropped,
    /// The ledger refused its outcome: the lease is somebody else's.
    Refused,
}

/// Waits for the commit of an outcome; its permit of W is free again when it is dropped.
pub(super) struct Ticket {
    pub(super) id: NotificationId,
    pub(super) work: Arc<Work>,
    pub(super) channel: Channel,
    /// What it is to those who watch, once it is committed.
    pub(super) became: Became,
    pub(super) again: Option<NaiveDateTime>,
    /// Somebody waits for this commit: it is a mark, not an outcome.
    pub(super) marking: Option<oneshot::Sender<bool>>,
    /// The outcome was taken back: the dispatch has to read it anew.
    pub(super) reopened: bool,
    /// Held until the commit; nothing is in flight for an outcome that is only taken back.
    pub(super) permit: Option<Permit>,
}

/// Called by the ledger's writer after each commit: frees the permits and tells each dispatch.
pub(super) fn committed(tickets: Vec<(Ticket, Taken)>) {
    let mut told: Vec<(Arc<Work>, Vec<Done>)> = Vec::new();
    for (ticket, taken) in tickets {
        if taken == Taken::Yes {
            let running = &ticket.work.running;
            running.committed(ticket.id, ticket.channel, &ticket.became);
        }
        if let Some(marking) = ticket.marking {
            let _ = marking.send(taken == Taken::Yes);
            continue;
        }
        let how = match (taken, ticket.again) {
            (Taken::Yes, Some(at)) => How::Again(at),
            (Taken::Yes, None) if ticket.reopened => How::Dropped,
            (Taken::LeaseLost, _) if !ticket.reopened => How::Refused,
            _ => How::Committed,
        };
        let done = Done { id: ticket.id, how };
        drop(ticket.permit);
        match told.iter_mut().find(|(work, _)| Arc::ptr_eq(work, &ticket.work)) {
            Some((_, list)) => list.push(done),
            None => told.push((ticket.work, vec![done])),
        }
    }
    for (work, list) in told {
        // A dispatch that has stopped no longer listens; its rows are in the ledger.
        let _ = work.done.send(list);
    }
}
