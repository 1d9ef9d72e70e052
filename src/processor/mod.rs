//! One delivery, from DTO to verdict. Every way through here ends in a verdict, never in an error, so
//! that nothing can leave between receipt and settlement.

mod compose;
mod denials;
mod engine;
mod hand;
mod holder;
mod intake;
mod job;
mod judgement;
mod known;
mod lane;
mod lease;
mod outcome;
mod reading;
mod sender;
mod sweeper;
mod way;
mod work;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{DeliveryConfig, EmailConfig};
use crate::consumer::{DeadLetter, Delivery, Verdict};
use crate::domain::DispatchId;
use crate::message::{self, EventMessage, Message, Reason};
use crate::policy::Plan;
use crate::render::Templates;
use crate::repository::{self, Claim, Database, Start, Starting};
use engine::{Engine, Machinery};
use intake::{Intake, take_in};
use job::Work;
use judgement::{leave, log_end, parked, reached};
use lease::{Lease, lock};
use sweeper::Sweeper;
use work::{Course, Ended};

pub use engine::StartError;
pub use judgement::Judgement;

/// Dispatches that the sweeper works on at once.
const SWEPT: usize = 16;

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

    /// Works one delivery off. Cancelled only by the stop that it was started with.
    pub async fn process(&self, delivery: &Arc<Delivery>) -> Judgement {
        match message::parse(&delivery.body) {
            Err(refusal) => self.refuse(refusal.reason, refusal.error, None),
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
                        Ok(Ended::Parked) => return parked(dispatch),
                        Ok(Ended::Exhausted(starts)) => {
                            let error =
                                "five starts in a row ended the worker without any outcome".to_owned();
                            return self.refuse_after(starts, Reason::Exhausted, error, Some(dispatch));
                        }
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
                Intake::Ours(dispatch) => self.await_ending(dispatch).await,
                Intake::Settled(dispatch, status) => {
                    tracing::info!(dispatch.id = %dispatch, %status, "the ledger has this message already");
                    return Judgement {
                        verdict: Some(Verdict::Ack),
                        dispatch: Some(dispatch),
                        ended: None,
                    };
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

    /// Takes up what nobody works on, until told to stop.
    pub async fn sweep(self: Arc<Self>) {
        let mut sweeper = Sweeper::new();
        let mut swept = JoinSet::new();
        let pause = Sweeper::pause(&self.engine);
        while self
            .stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_some()
        {
            while swept.try_join_next().is_some() {}
            match sweeper.round(&self.engine, SWEPT - swept.len()).await {
                Ok(claims) => {
                    for (claim, began) in claims {
                        let processor = Arc::clone(&self);
                        swept.spawn(async move { processor.work_off_swept(claim, began).await });
                    }
                }
                Err(error) => tracing::debug!(%error, "the sweeper cannot read the ledger"),
            }
        }
        while swept.join_next().await.is_some() {}
    }

    async fn work_off_swept(&self, claim: Claim, began: Instant) {
        let dispatch = claim.dispatch;
        if let Err(why) = self.work_off(claim, None, began).await {
            tracing::error!(dispatch.id = %dispatch, error = why, "this dispatch cannot be worked off here");
        }
    }

    async fn work_off(
        &self,
        claim: Claim,
        delivery: Option<&Arc<Delivery>>,
        began: Instant,
    ) -> Result<Ended, String> {
        let Claim {
            dispatch,
            token,
            plan,
            created_at,
            starts,
        } = claim;
        let lease = self
            .engine
            .leases
            .hold(dispatch, token, delivery.map(Arc::clone), began);
        let prepared = Plan::from_text(&plan)
            .map_err(|e| e.to_string())
            .and_then(|plan| Ok((intake::compose(&self.engine, &plan, created_at.and_utc())?, plan)));
        let (composer, plan) = match prepared {
            Ok(prepared) => prepared,
            Err(why) => {
                self.engine.give_back(&lease).await;
                return Err(why);
            }
        };
        let starting = self.engine.starting(&lease);
        let start = self.engine.look(starting).await;
        if start == Start::Exhausted {
            return Ok(self.give_up(&lease, starting).await);
        }
        // One at a time: what ends the process is then known.
        let _alone = match start {
            Start::Quarantined => Some(self.engine.quarantine.lock().await),
            _ => None,
        };
        if !self.engine.begin(starting, start).await {
            self.engine.give_back(&lease).await;
            return Ok(Ended::LeaseLost);
        }
        tracing::info!(dispatch.id = %dispatch, event.id = %plan.facts.event_id, kind = plan.facts.kind.as_str(), start = starts, "dispatch started");
        let (done, committed) = mpsc::unbounded_channel();
        let work = Arc::new(Work {
            lease,
            composer,
            event_id: plan.facts.event_id,
            identity: plan.identity,
            unsubscribe_url: self.engine.unsubscribe_url.clone(),
            marked: starting.hold || start == Start::Quarantined,
            quarantined: start == Start::Quarantined,
            fruitful: AtomicBool::new(false),
            done,
        });
        let (ending, ended) = watch::channel(false);
        lock(&self.endings).insert(dispatch, ended);
        let ended = Course::new(Arc::clone(&self.engine), work, committed)
            .run(&self.stop)
            .await;
        lock(&self.endings).remove(&dispatch);
        let _ = ending.send(true);
        log_end(dispatch, &ended, began);
        Ok(ended)
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

    /// Closes a dispatch that nothing came of.
    async fn give_up(&self, lease: &Lease, starting: Starting) -> Ended {
        let given_up = self
            .engine
            .db
            .write(move |conn| repository::give_up(conn, starting))
            .await;
        match given_up {
            Ok(starts) => {
                self.engine.leases.drop_lease(lease);
                Ended::Exhausted(starts)
            }
            Err(error) => {
                tracing::warn!(dispatch.id = %lease.dispatch, %error, "cannot close an exhausted dispatch");
                self.engine.give_back(lease).await;
                Ended::LeaseLost
            }
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
