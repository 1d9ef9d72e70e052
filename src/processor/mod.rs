//! One delivery, from DTO to verdict. Every way through here ends in a verdict, never in an error, so
//! that nothing can leave between receipt and settlement.

mod aside;
mod attend;
mod bundling;
mod compose;
mod denials;
mod destination;
mod doubts;
mod enclosing;
mod engine;
mod fair;
mod hand;
mod intake;
mod job;
mod judgement;
mod known;
mod lane;
mod lanes;
mod lease;
mod line;
mod marks;
mod missing;
mod outcome;
mod outlet;
mod pacing;
mod parking;
mod planning;
mod queue;
mod reading;
mod routes;
mod sender;
mod standing;
mod start;
mod steering;
mod sweeper;
mod telling;
mod users;
mod view;
mod way;
mod window;
mod work;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::attachment::Fetcher;
use crate::config::{DeliveryConfig, EmailConfig};
use crate::consumer::{Delivery, Verdict};
use crate::domain::{DispatchId, DispatchStatus, Source};
use crate::live::Live;
use crate::message::{self, Message, Reason};
use crate::policy::Tenants;
use crate::render::TemplateSets;
use crate::repository::{self, Database};
use engine::{Engine, Machinery};
use intake::{Intake, take_in};
use judgement::{acked, leave, reached};
use lease::{Backing, lock};
use work::{DATABASE_PAUSE, Ended};

pub use bundling::{Archiving, Bundler};
pub use engine::StartError;
pub use judgement::Judgement;
pub use view::{IdentityView, RelayState, RelayView};

/// The wall clock, as an argument.
pub type Clock = fn() -> DateTime<Utc>;

/// What a processor needs.
pub struct Setup {
    /// Ledger and audience.
    pub db: Database,
    /// How e-mails leave.
    pub email: EmailConfig,
    /// How a dispatch is worked off.
    pub delivery: DeliveryConfig,
    /// Where its messages come from.
    pub source: Source,
    /// `NOTIFICATIONS_ENABLED`
    pub pipelines_enabled: bool,
    /// How many deliveries the broker gives at once.
    pub prefetch: usize,
    /// Templates, with those of tenants.
    pub templates: Arc<TemplateSets>,
    /// Who has configured what.
    pub tenants: Tenants,
    /// Where the lanes are shown to people.
    pub relays: watch::Sender<Vec<RelayView>>,
    /// Who is told of it.
    pub live: Live,
    /// Where e-mails are kept, if they are.
    pub archive: Option<Archiving>,
    /// How attachments are come by.
    pub fetcher: Arc<Fetcher>,
}

/// Works deliveries off.
pub struct Processor {
    engine: Arc<Engine>,
    machinery: Machinery,
    stop: CancellationToken,
    endings: Mutex<HashMap<DispatchId, watch::Receiver<bool>>>,
}

impl Processor {
    /// Starts the ledger's writer and the beats; lanes are opened when they are needed. `stop` ends them, by
    /// and by.
    pub fn start(setup: Setup, now: Clock, stop: &CancellationToken) -> Result<Self, StartError> {
        let (engine, machinery) = Engine::start(setup, now, stop)?;
        Ok(Self {
            engine: Arc::new(engine),
            machinery,
            stop: stop.clone(),
            endings: Mutex::default(),
        })
    }

    /// Cuts off what is under way.
    pub fn abort(&self) {
        self.machinery.abort();
    }

    /// Ends everything behind it; call it when no delivery is being processed any more.
    pub async fn end(self) {
        drop(self.engine);
        self.machinery.end().await;
    }

    /// To be called before an ack for `dispatch` is sent; false: it must not be, as that could not be
    /// recorded. Only messages without id can be taken for each other.
    pub async fn ack_begins(&self, delivery: &Delivery, dispatch: DispatchId) -> bool {
        if delivery.message_id.is_some() {
            return true;
        }
        let holder = self.engine.holder.clone();
        let begun = self
            .engine
            .db
            .write(move |conn| repository::ack_begun(conn, dispatch, &holder))
            .await;
        if let Err(error) = &begun {
            tracing::warn!(dispatch.id = %dispatch, %error, "an ack cannot be recorded yet, so it waits");
        }
        begun.is_ok()
    }

    /// Works one delivery off. Cancelled only by the stop that it was started with.
    pub async fn process(&self, delivery: &Arc<Delivery>) -> Judgement {
        let _in_work = InWork::of(&self.engine.in_work);
        match message::parse(&delivery.body) {
            Err(refusal) => self.refuse(refusal.reason, refusal.error, None),
            Ok(message) => self.process_message(delivery, &message).await,
        }
    }

    async fn process_message(&self, delivery: &Arc<Delivery>, message: &Message) -> Judgement {
        loop {
            match take_in(&self.engine, delivery, message, &self.stop).await {
                Intake::Mine(claim, began) => {
                    let dispatch = claim.dispatch;
                    match self.work_off(claim, Some(delivery), began).await {
                        Ok(Ended::Reached(status, counts)) => return reached(dispatch, status, counts),
                        Ok(Ended::Parked | Ended::Steered(_)) => return acked(dispatch),
                        Ok(Ended::GivenUp(why, starts)) => return self.given_up(dispatch, why, starts),
                        Ok(Ended::Stopped) => return leave(Some(dispatch)),
                        Ok(Ended::LeaseLost) => {}
                        Err(why) => {
                            tracing::error!(dispatch.id = %dispatch, error = why, "this dispatch cannot be worked off here");
                            return Judgement {
                                verdict: Some(Verdict::RetryLater),
                                dispatch: Some(dispatch),
                                ended: None,
                            };
                        }
                    }
                }
                Intake::Ours(dispatch, backing) => {
                    self.await_ending(dispatch).await;
                    // The delivery that it lost was this one: its end is ours.
                    if backing == Backing::Lost
                        && self.is_settled(dispatch).await
                        && let Some(judgement) = self.settled(dispatch).await
                    {
                        return judgement;
                    }
                }
                Intake::Settled(dispatch, status) => {
                    tracing::info!(dispatch.id = %dispatch, %status, "the ledger has this message already");
                    if let Some(judgement) = self.settled(dispatch).await {
                        return judgement;
                    }
                }
                Intake::Conflict(dispatch) => {
                    let error =
                        format!("message_id was used before, for dispatch {dispatch}, with another body");
                    return self.refuse(Reason::MessageIdConflict, error, Some(dispatch));
                }
                Intake::Refused(reason, error) => return self.refuse(reason, error, None),
                Intake::Gone => return leave(None),
                Intake::Impossible(why) => {
                    tracing::error!(
                        error = why,
                        "this message cannot be told to anybody; it is left for later"
                    );
                    return Judgement {
                        verdict: Some(Verdict::RetryLater),
                        dispatch: None,
                        ended: None,
                    };
                }
            }
        }
    }

    /// Whether the ledger has all of a dispatch.
    async fn is_settled(&self, dispatch: DispatchId) -> bool {
        let seen = self
            .engine
            .db
            .read(move |conn| repository::observe(conn, dispatch))
            .await;
        matches!(seen, Ok(Some(seen)) if seen.status != DispatchStatus::Running)
    }

    /// What becomes of a delivery whose dispatch is not to be worked on: the ledger has all of it. One that
    /// was given up becomes a dead letter, whoever closed it, unless that is proven to be there. `None`:
    /// the ledger does not answer.
    async fn settled(&self, dispatch: DispatchId) -> Option<Judgement> {
        let given_up = self
            .engine
            .db
            .read(move |conn| repository::given_up(conn, dispatch))
            .await;
        match given_up {
            Ok(None) => Some(acked(dispatch)),
            Ok(Some((why, starts))) => Some(self.given_up(dispatch, why, starts)),
            Err(error) => {
                tracing::warn!(dispatch.id = %dispatch, %error, "cannot look at a dispatch; trying again");
                tokio::time::sleep(DATABASE_PAUSE).await;
                None
            }
        }
    }

    /// Waits for a dispatch that another delivery of the same message has started in this process.
    async fn await_ending(&self, dispatch: DispatchId) {
        let ending = lock(&self.endings).get(&dispatch).cloned();
        match ending {
            Some(mut ending) => {
                let _ = ending.wait_for(|ended| *ended).await;
            }
            // It is about to begin or has just ended: look again in a moment.
            None => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

/// Counts a delivery as long as it is in work.
struct InWork<'a>(&'a AtomicUsize);

impl<'a> InWork<'a> {
    fn of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for InWork<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
