//! One delivery, from DTO to verdict. Every way through here ends in a verdict, never in an error, so
//! that nothing can leave between receipt and settlement.

mod attend;
mod compose;
mod denials;
mod doubts;
mod engine;
mod hand;
mod holder;
mod intake;
mod job;
mod judgement;
mod known;
mod lane;
mod lease;
mod line;
mod marks;
mod outcome;
mod pacing;
mod reading;
mod sender;
mod start;
mod sweeper;
mod way;
mod work;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{DeliveryConfig, EmailConfig};
use crate::consumer::{DeadLetter, Delivery, Verdict};
use crate::domain::{DispatchId, DispatchStatus};
use crate::message::{self, EventMessage, Message, Reason};
use crate::render::Templates;
use crate::repository::{self, Database};
use engine::{Engine, Machinery};
use intake::{Intake, take_in};
use judgement::{acked, leave, reached};
use lease::{Backing, lock};
use work::{DATABASE_PAUSE, Ended};

pub use engine::StartError;
pub use judgement::Judgement;

/// The wall clock, as an argument.
pub type Clock = fn() -> DateTime<Utc>;

/// Works deliveries off.
pub struct Processor {
    engine: Arc<Engine>,
    machinery: Machinery,
    stop: CancellationToken,
    endings: Mutex<HashMap<DispatchId, watch::Receiver<bool>>>,
}

impl Processor {
    /// Starts the senders, the ledger's writer and the beats. `stop` ends them, by and by.
    pub fn start(
        db: Database,
        email: &EmailConfig,
        delivery: DeliveryConfig,
        templates: Arc<Templates>,
        now: Clock,
        stop: &CancellationToken,
    ) -> Result<Self, StartError> {
        let (engine, machinery) = Engine::start(db, email, delivery, templates, now, stop)?;
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
        match message::parse(&delivery.body) {
            Err(refusal) => self.refuse(refusal.reason, refusal.error, None),
            Ok(Message::Order(_) | Message::Pipeline(_)) => leave(None),
            Ok(Message::Event(event)) => {
                if !event.attachments.is_empty() {
                    tracing::warn!(
                        event.id = %event.event_id,
                        attachments = event.attachments.len(),
                        "attachments are not sent along by this version; the e-mails go without them"
                    );
                }
                self.process_event(delivery, &event).await
            }
        }
    }

    async fn process_event(&self, delivery: &Arc<Delivery>, event: &EventMessage) -> Judgement {
        loop {
            match take_in(&self.engine, delivery, event, &self.stop).await {
                Intake::Mine(claim, began) => {
                    let dispatch = claim.dispatch;
                    match self.work_off(claim, Some(delivery), began).await {
                        Ok(Ended::Reached(status, counts)) => return reached(dispatch, status, counts),
                        Ok(Ended::Parked) => return acked(dispatch),
                        Ok(Ended::Exhausted(starts)) => return self.exhausted(dispatch, starts),
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
            Ok(Some(starts)) => Some(self.exhausted(dispatch, starts)),
            Err(error) => {
                tracing::warn!(dispatch.id = %dispatch, %error, "cannot look at a dispatch; trying again");
                tokio::time::sleep(DATABASE_PAUSE).await;
                None
            }
        }
    }

    fn exhausted(&self, dispatch: DispatchId, starts: u32) -> Judgement {
        let error = "five starts in a row ended the worker without any outcome".to_owned();
        Judgement {
            // Once its ack is proven, a later delivery is none that was lost.
            dispatch: Some(dispatch),
            ..self.refuse_after(starts, Reason::Exhausted, error, Some(dispatch))
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

    fn refuse(&self, reason: Reason, error: String, dispatch: Option<DispatchId>) -> Judgement {
        self.refuse_after(0, reason, error, dispatch)
    }

    fn refuse_after(
        &self,
        attempts: u32,
        reason: Reason,
        error: String,
        dispatch: Option<DispatchId>,
    ) -> Judgement {
        tracing::warn!(%reason, error, "message refused");
        let letter = DeadLetter {
            reason,
            error,
            attempts,
            dispatch,
            at: (self.engine.now)(),
        };
        Judgement {
            verdict: Some(Verdict::DeadLetter(letter)),
            dispatch: None,
            ended: None,
        }
    }
}
