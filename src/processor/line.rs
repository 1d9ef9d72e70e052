//! One connection and what is under way on it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::job::Job;
use super::way::{Open, quit};
use super::window::Permit;
use crate::failpoint;
use crate::mailer::{Email, Handover};

/// How long an e-mail waits behind another one's final dot before it is given to other connections.
const PATIENCE: Duration = Duration::from_secs(2);

/// A job whose e-mail is under way.
pub(super) struct Load {
    pub(super) job: Job,
    pub(super) permit: Permit,
    /// Its e-mail, where that is kept.
    pub(super) email: Option<Email>,
    /// Its text may have left.
    pub(super) let_go: AtomicBool,
    /// Denials that were known when it was put on the line.
    pub(super) denials: u64,
}

/// A connection, while there is one, and the jobs on it in the order of their outcomes.
#[derive(Default)]
pub(super) struct Line {
    pub(super) open: Option<Open>,
    pub(super) flying: VecDeque<Load>,
}

/// What has come of waiting.
pub(super) enum Advanced {
    /// Outcomes of the jobs in front.
    Settled(Vec<Handover>),
    /// So many at the end were taken back before anything was handed over.
    TakenBack(usize),
}

impl Line {
    /// With nothing under way: closes a connection that is broken, worn, or takes nothing.
    pub(super) async fn retire(&mut self) {
        if self.open.as_ref().is_some_and(Open::is_over) {
            quit(&mut self.open).await;
        }
        self.open = self.open.take().filter(|o| o.outlet.is_usable());
    }

    /// Whether another e-mail may be added when each connection's share of those that wait is `share`.
    pub(super) fn takes_more(&self, share: usize) -> bool {
        let alone = self.flying.front().is_some_and(|load| !load.job.is_ordinary());
        let Some(open) = self.open.as_ref().filter(|open| !open.is_over() && !alone) else {
            return false;
        };
        !self.flying.is_empty() && self.flying.len() <= share && open.outlet.room() > 0
    }

    /// Waits until something is certain of the jobs in front, or those behind have waited too long.
    pub(super) async fn advance(&mut self) -> Advanced {
        let Self { open, flying } = self;
        let Some(open) = open else {
            return Advanced::TakenBack(flying.len());
        };
        let go_ahead = |index: usize| {
            let Some(load) = flying.get(index) else {
                return false;
            };
            let holds = load.job.work.lease.holds(Instant::now());
            load.let_go.store(holds, Ordering::Relaxed);
            failpoint::reached("s4-before-dot");
            holds
        };
        if flying.len() > 1 {
            if let Ok(settled) = tokio::time::timeout(PATIENCE, open.outlet.advance(go_ahead)).await {
                return Advanced::Settled(settled);
            }
            let count = open.outlet.pull_back();
            if count > 0 {
                return Advanced::TakenBack(count);
            }
        }
        Advanced::Settled(open.outlet.advance(go_ahead).await)
    }
}
