//! A dispatch under its lease, from the claim to its end: reads pages ahead of the senders, looks after
//! the rows that are to be tried again, and closes it when the ledger shows nothing open. Pages stream:
//! the next one is read while the last one is sent, and memory stays flat however large the event is.

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::engine::Engine;
use super::hand::Hand;
use super::job::{Done, How, Job, Work};
use super::lanes::Alone;
use super::outcome::LONGEST_DELAY;
use super::reading::{self, Brought, Reading, Stage};
use crate::domain::{Channel, DispatchStatus, NotificationId};
use crate::failpoint;
use crate::repository::{self, Counts, DbError, End, GivenUp, Wanted};

/// Waits between tries while the database is away.
pub(super) const DATABASE_PAUSE: Duration = Duration::from_millis(500);

/// How often a dispatch that reads nothing looks whether its lease is to be trusted again.
const TRUST_PAUSE: Duration = Duration::from_millis(250);

/// Between two looks for rows that are due.
const SOONEST: Duration = Duration::from_millis(20);

/// How the work on a dispatch ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// As in S6: ack.
    Reached(DispatchStatus, Counts),
    /// It cannot go on now; the ledger owns the rest: ack.
    Parked,
    /// An operator wanted it to rest or to end: ack.
    Steered(Wanted),
    /// Nothing will come of it, after so many starts: closed.
    GivenUp(GivenUp, u32),
    /// Told to stop before its end; the lease was given back.
    Stopped,
    /// Somebody else has it.
    LeaseLost,
}

/// One dispatch in work.
pub(super) struct Course {
    pub(super) engine: Arc<Engine>,
    pub(super) work: Arc<Work>,
    pub(super) done: mpsc::UnboundedReceiver<Vec<Done>>,
    pub(super) hand: Hand,
    pub(super) stage: Stage,
    pub(super) next_due: Option<Instant>,
    pub(super) reading: Option<Reading>,
    /// In quarantine, until a whole window has passed.
    alone: Option<Alone>,
    committed: usize,
}

impl Course {
    pub(super) fn new(
        engine: Arc<Engine>,
        work: Arc<Work>,
        done: mpsc::UnboundedReceiver<Vec<Done>>,
    ) -> Self {
        let stage = Stage::Resume(NotificationId(0));
        let alone = work.quarantined.then(|| Alone::new(&engine.lanes, &work));
        Self {
            alone,
            committed: 0,
            engine,
            work,
            done,
            hand: Hand::default(),
            stage,
            next_due: None,
            reading: None,
        }
    }

    /// Works the dispatch off.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Ended {
        loop {
            if self.reading.is_none() {
                if self.is_through() {
                    match self.finish().await {
                        Ok(End::Reached(status, counts)) => return Ended::Reached(status, counts),
                        Ok(End::NotYet) => self.stage = Stage::Resume(NotificationId(0)),
                        Err(DbError::LeaseLost) => return self.abandon(),
                        Err(error) => self.pause(&error).await,
                    }
                }
                self.read_on();
            }
            if self.is_stuck() {
                return self.leave(Ended::Parked).await;
            }
            if self.alone.is_some() && self.waits_for_lanes() {
                // What does not even reach its relay ends no process, and would hold everybody up.
                self.alone = None;
            }
            let lease = Arc::clone(&self.work.lease);
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.leave(Ended::Stopped).await,
                () = lease.lost() => return self.abandon(),
                wanted = lease.wanted() => return self.leave(Ended::Steered(wanted)).await,
                Some(list) = self.done.recv() => {
                    if !self.settle(&list) {
                        return self.abandon();
                    }
                }
                brought = reading::outcome(&mut self.reading) => match brought {
                    Ok(brought) => self.take(brought),
                    Err(DbError::LeaseLost) => return self.abandon(),
                    Err(error) => {
                        self.hand.take(Vec::new());
                        self.pause(&error).await;
                    }
                },
                () = due(self.next_due), if self.reading.is_none() => self.read_due(),
                () = tokio::time::sleep(TRUST_PAUSE), if self.reading.is_none() => {}
            }
        }
    }

    pub(super) fn is_through(&self) -> bool {
        self.stage == Stage::Read && self.hand.is_empty() && self.next_due.is_none()
    }

    /// Reads ahead as long as less is in hand than the window takes and two pages to refill it from.
    fn read_on(&mut self) {
        // Without a lease to trust, the senders would only drop what they get.
        let trusted = self.work.lease.holds(std::time::Instant::now());
        if self.stage == Stage::Read || !trusted || !self.has_room() {
            return;
        }
        self.hand.begin_read();
        self.reading = Some(reading::ahead(&self.engine, &self.work, self.stage));
    }

    pub(super) fn has_room(&self) -> bool {
        let config = &self.engine.config;
        let room = if self.work.quarantined {
            1
        } else {
            config.in_flight + 2 * config.batch_size
        };
        self.hand.len() < room
    }

    /// Reads the rows whose next time has come.
    fn read_due(&mut self) {
        self.next_due = None;
        self.hand.begin_read();
        self.reading = Some(reading::due(&self.engine, &self.work, self.stage));
    }

    fn take(&mut self, brought: Brought) {
        self.stage = brought.stage;
        let work = &self.work;
        let fresh = self.hand.take(brought.rows);
        let recorder = self.engine.archive.as_ref().map(|archive| &archive.recorder);
        let page = recorder
            .zip(work.sheaf.as_ref())
            .filter(|_| !fresh.is_empty())
            .map(|(recorder, sheaf)| recorder.page(sheaf));
        let jobs = fresh.into_iter().map(|row| Job {
            row,
            work: Arc::clone(work),
            page: page.clone(),
            lane_faults: 0,
            passed_then: 0,
        });
        let (email, slack): (Vec<Job>, Vec<Job>) = jobs.partition(|job| job.row.channel == Channel::Email);
        self.work.routes.email.lane.push(email);
        self.work.routes.slack.lane.push(slack);
        if let Some(at) = brought.next_due {
            self.wake_at(at);
        }
    }

    /// Takes note of what left the hand; false when the lease turned out to be somebody else's.
    pub(super) fn settle(&mut self, list: &[Done]) -> bool {
        let mut mine = true;
        for done in list {
            self.hand.leave(done.id);
            match done.how {
                How::Committed => self.committed += 1,
                How::Dropped => self.stage = Stage::Resume(NotificationId(0)),
                How::Again(at) => {
                    self.committed += 1;
                    self.wake_at(at);
                }
                How::Refused => mine = false,
            }
        }
        let waits = self.hand.is_empty() && self.next_due.is_some() && self.reading.is_none();
        if waits || self.committed >= self.engine.config.in_flight {
            // What ended the process was among those that were under way then, or has to wait itself.
            self.alone = None;
        }
        mine
    }

    /// Wall-clock times of the ledger become waits here. One that is longer than any that is ever given comes
    /// from a clock that was set back: the ledger is asked at once.
    fn wake_at(&mut self, at: NaiveDateTime) {
        let wait = (at - (self.engine.now)().naive_utc())
            .to_std()
            .ok()
            .filter(|wait| *wait <= LONGEST_DELAY);
        let at = Instant::now() + wait.unwrap_or_default().max(SOONEST);
        self.next_due = Some(self.next_due.map_or(at, |other| other.min(at)));
    }

    pub(super) async fn finish(&mut self) -> Result<End, DbError> {
        let lease = Arc::clone(&self.work.lease);
        let now = (self.engine.now)().naive_utc();
        failpoint::reached("s6-before");
        let end = self
            .engine
            .db
            .write(move |conn| repository::finish(conn, lease.dispatch, lease.token, now));
        let end = end.await?;
        if matches!(end, End::Reached(..)) {
            failpoint::reached("s6-closed");
            if matches!(&end, End::Reached(status, _) if status.is_closed()) {
                failpoint::reached("completion-closed");
            }
            self.engine.leases.drop_lease(&self.work.lease);
        }
        Ok(end)
    }

    /// Stops at once: nothing is written any more under this lease.
    pub(super) fn abandon(self) -> Ended {
        self.work.lease.give_up();
        for route in self.work.routes.all() {
            route.lane.remove(&self.work);
        }
        self.engine.leases.drop_lease(&self.work.lease);
        Ended::LeaseLost
    }

    async fn pause(&mut self, error: &DbError) {
        if !error.is_conflict() {
            tracing::warn!(dispatch.id = %self.work.dispatch(), %error, "the ledger does not answer; trying again");
        }
        tokio::time::sleep(DATABASE_PAUSE).await;
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
