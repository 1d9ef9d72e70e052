//! The end of the work on a dispatch that cannot go on here: told to stop, or better parked.

use std::time::Duration;

use tokio::time::Instant;

use super::job::Job;
use super::reading::{Brought, Stage};
use super::work::{Course, Ended};
use crate::domain::NotificationId;
use crate::repository::{End, Parking};

/// How long commits are waited for after everything was cut off.
const ABORTED: Duration = Duration::from_secs(3);

/// How often an interrupted dispatch looks for jobs that came back to the lane.
const DRAIN_PAUSE: Duration = Duration::from_millis(20);

impl Course {
    /// Whether nothing of it can go on and it is better parked: what is left of it waits for lanes that have
    /// been closed for `PARK_AFTER`, or whose configuration was changed; or they are closed or stalled while its
    /// message keeps others from being taken, or no message is held for it at all.
    pub(super) fn is_stuck(&self) -> bool {
        let work = &self.work;
        let crowded = self.engine.is_crowded() && self.engine.lanes.are_several();
        let mut waiting = 0;
        let (mut stuck, mut open) = (false, false);
        for route in work.routes.all() {
            let long = route.closed_for();
            let parked = long.is_some_and(|long| long >= self.engine.config.park_after);
            let pressed = (crowded || work.swept) && (long.is_some() || route.lane.is_stalled());
            if parked || pressed || (long.is_some() && self.engine.has_other_routes(&work.plan, &work.routes))
            {
                stuck = true;
                waiting += route.lane.count(work);
            } else {
                open = true;
            }
        }
        // What was not read yet, or is to be tried again, may be for the lane that is open.
        stuck && waiting == self.hand.len() && !(open && self.may_bring_more())
    }

    /// Whether reading brings more notifications than are in hand.
    fn may_bring_more(&self) -> bool {
        self.reading.is_some() || self.next_due.is_some() || self.stage != Stage::Read && self.has_room()
    }

    /// In quarantine: whether all that could be handed over waits for lanes that do not pass.
    pub(super) fn waits_for_lanes(&self) -> bool {
        let mut routes = self.work.routes.all();
        routes.all(|route| route.closed_for().is_some() || route.lane.is_stalled())
    }

    /// Told to stop, or to park: what waits in the lane stays open in the ledger, what is under way is waited for,
    /// and the lease is given back. If that was all, the dispatch ends as usual.
    pub(super) async fn leave(mut self, how: Ended) -> Ended {
        if let Some(reading) = self.reading.take() {
            let brought = reading.await;
            self.hand.take(Vec::new());
            if let Ok(Brought { rows, stage, .. }) = brought {
                self.stage = if rows.is_empty() { stage } else { Stage::Pages };
            }
        }
        let mut patience = Instant::now();
        loop {
            if !self.engine.abort.is_cancelled() {
                patience = Instant::now();
            }
            let lanes = self.work.routes.all().map(|route| &route.lane);
            let waiting: Vec<Job> = lanes.flat_map(|lane| lane.remove(&self.work)).collect();
            for job in waiting {
                self.stage = Stage::Resume(NotificationId(0));
                self.hand.leave(job.row.id);
            }
            // After an abort the ledger may never answer.
            if self.hand.is_empty() || self.engine.abort.is_cancelled() && patience.elapsed() > ABORTED {
                break;
            }
            match tokio::time::timeout(DRAIN_PAUSE, self.done.recv()).await {
                Ok(Some(list)) if !self.settle(&list) => return self.abandon(),
                _ => {}
            }
        }
        if self.is_through()
            && let Ok(End::Reached(status, counts)) = self.finish().await
        {
            return Ended::Reached(status, counts);
        }
        if let Ended::Steered(wanted) = how {
            return self.engine.obey(&self.work.lease, wanted).await;
        }
        if how == Ended::Parked {
            let parking = Parking {
                why: None,
                wait: chrono::Duration::zero(),
            };
            return self.engine.park(&self.work.lease, parking).await;
        }
        self.engine.give_back(&self.work.lease).await;
        how
    }
}
