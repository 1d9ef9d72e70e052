//! What all dispatches of this process share: the database, the lanes with their senders, the permits of W,
//! the ledger's writer and the leases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::bundling::Archiving;
use super::enclosing::ROOM;
use super::job::Ticket;
use super::lanes::Lanes;
use super::lease::{Lease, Leases};
use super::telling::told;
use super::work::Ended;
use super::{Clock, RelayView, Setup};
use crate::attachment::Fetcher;
use crate::config::{DeliveryConfig, EmailConfig, OnUnknown};
use crate::domain::{DispatchStatus, LeaseToken, Source};
use crate::live::Live;
use crate::mailer::{Relay, RelayConfigError};
use crate::policy::{Plan, Surroundings, Tenants};
use crate::render::TemplateSets;
use crate::repository::{self, Claimant, Database, Parking, Start, Starting, Wanted, Writer};

/// Shared by everything that works on dispatches.
pub(super) struct Engine {
    pub(super) db: Database,
    pub(super) config: Arc<DeliveryConfig>,
    pub(super) email: EmailConfig,
    pub(super) surroundings: Surroundings,
    pub(super) templates: Arc<TemplateSets>,
    pub(super) tenants: Tenants,
    pub(super) live: Live,
    pub(super) archive: Option<Archiving>,
    pub(super) fetcher: Arc<Fetcher>,
    /// KiB of attachments that may be in memory.
    pub(super) room: Arc<Semaphore>,
    pub(super) lanes: Arc<Lanes>,
    pub(super) relays: watch::Sender<Vec<RelayView>>,
    pub(super) leases: Leases,
    /// Held by the one dispatch that is in quarantine.
    pub(super) quarantine: tokio::sync::Mutex<()>,
    pub(super) holder: String,
    pub(super) source: Source,
    /// Deliveries in work, and how many the broker gives at once.
    pub(super) in_work: AtomicUsize,
    pub(super) prefetch: usize,
    /// Everything under way was cut off.
    pub(super) abort: CancellationToken,
    pub(super) now: Clock,
}

/// The tasks and the thread behind it, to be ended in order.
pub(super) struct Machinery {
    lanes: Arc<Lanes>,
    writer: Option<JoinHandle<()>>,
    abandon: Arc<AtomicBool>,
    stop: CancellationToken,
    abort: CancellationToken,
    beats: tokio::task::JoinHandle<()>,
    beats_stop: CancellationToken,
}

/// Why the machinery cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The relay's configuration.
    #[error(transparent)]
    Relay(#[from] RelayConfigError),
    /// The system gives no thread.
    #[error("cannot start the ledger's writer: {0}")]
    Thread(#[from] std::io::Error),
}

impl Engine {
    pub(super) fn start(
        setup: Setup,
        now: Clock,
        stop: &CancellationToken,
    ) -> Result<(Self, Machinery), StartError> {
        let Setup {
            db,
            email,
            delivery,
            source,
            pipelines_enabled,
            prefetch,
            templates,
            tenants,
            relays,
            live,
            archive,
            fetcher,
        } = setup;
        if !email.dummy {
            // What cannot work is known at once.
            Relay::new(&email.relay)?;
        }
        let abandon = Arc::new(AtomicBool::new(false));
        let (writer, thread) = Writer::<Ticket>::start(
            db.clone(),
            move || now().naive_utc(),
            Arc::clone(&abandon),
            told(&live),
        )?;
        let abort = CancellationToken::new();
        let lanes = Arc::new(Lanes::new(delivery.in_flight, writer, now, (stop, &abort), &live));
        let leases = Leases::new(db.clone(), delivery.lease);
        let beats_stop = CancellationToken::new();
        let beats = tokio::spawn(leases.clone().keep_alive(beats_stop.clone()));
        let engine = Self {
            db,
            config: Arc::new(delivery),
            surroundings: Surroundings {
                identity: email.identity.clone(),
                pipelines_enabled,
            },
            email,
            templates,
            tenants,
            relays,
            live,
            archive,
            fetcher,
            room: Arc::new(Semaphore::new(ROOM)),
            lanes: Arc::clone(&lanes),
            leases,
            quarantine: tokio::sync::Mutex::default(),
            holder: repository::this_process(),
            source,
            in_work: AtomicUsize::new(0),
            prefetch,
            abort: abort.clone(),
            now,
        };
        let machinery = Machinery {
            lanes,
            writer: Some(thread),
            abandon,
            stop: stop.clone(),
            abort,
            beats,
            beats_stop,
        };
        Ok((engine, machinery))
    }

    /// Whether the broker gives nothing more before something in work ends.
    pub(super) fn is_crowded(&self) -> bool {
        self.in_work.load(Ordering::Relaxed) >= self.prefetch
    }

    /// Who claims, with a fresh token; `delivered`: with a delivery in hand.
    pub(super) fn claimant(&self, delivered: bool) -> Claimant {
        Claimant {
            token: LeaseToken::generate(),
            delivered,
            holder: self.holder.clone(),
            now: (self.now)().naive_utc(),
        }
    }

    /// No next time is further off than this.
    pub(super) fn longest_wait(&self) -> chrono::Duration {
        let steps = self.config.retry_schedule.iter().copied();
        let longest = steps.chain([super::outcome::LONGEST_DELAY]).max();
        longest
            .and_then(|w| chrono::Duration::from_std(w).ok())
            .unwrap_or_default()
    }

    /// The circumstances of a start under this lease.
    pub(super) fn starting(&self, lease: &Lease, possible: bool) -> Starting {
        Starting {
            dispatch: lease.dispatch,
            token: lease.token,
            hold: self.config.on_unknown == OnUnknown::Hold,
            possible,
            now: (self.now)().naive_utc(),
        }
    }

    /// What earlier starts say; a database that does not answer says nothing, and `begin` notices.
    pub(super) async fn look(&self, starting: Starting) -> Start {
        let seen = self.db.read(move |conn| repository::look(conn, starting)).await;
        seen.unwrap_or(Start::Normal)
    }

    /// Counts the start; false when it cannot be counted.
    pub(super) async fn begin(&self, starting: Starting, start: Start) -> bool {
        let begun = self
            .db
            .write(move |conn| repository::begin(conn, starting, start))
            .await;
        if let Err(error) = &begun {
            tracing::warn!(dispatch.id = %starting.dispatch, %error, "a start could not be recorded");
        }
        begun.is_ok()
    }

    /// As the dispatch's tenant wants it.
    pub(super) fn delivery_of(&self, plan: &Plan) -> Arc<DeliveryConfig> {
        if plan.max_retries.is_none() && plan.retry_delay.is_none() {
            return Arc::clone(&self.config);
        }
        Arc::new(DeliveryConfig {
            max_retries: plan.max_retries.unwrap_or(self.config.max_retries),
            retry_delay: plan.retry_delay.unwrap_or(self.config.retry_delay),
            ..(*self.config).clone()
        })
    }

    /// Gives a dispatch to the ledger, or, where that does not answer, its lease back.
    pub(super) async fn park(&self, lease: &Lease, parking: Parking) -> Ended {
        let (dispatch, token) = (lease.dispatch, lease.token);
        let now = (self.now)().naive_utc();
        let parked = self
            .db
            .write(move |conn| repository::park(conn, dispatch, token, now, &parking));
        if parked.await.is_ok() {
            self.leases.drop_lease(lease);
            return Ended::Parked;
        }
        self.give_back(lease).await;
        Ended::LeaseLost
    }

    /// Sees to what an operator wants of a dispatch of ours.
    pub(super) async fn obey(&self, lease: &Lease, wanted: Wanted) -> Ended {
        let (dispatch, token) = (lease.dispatch, lease.token);
        let now = (self.now)().naive_utc();
        let obeyed = self
            .db
            .write(move |conn| repository::obey(conn, dispatch, token, wanted, now));
        match obeyed.await {
            Ok(counts) => {
                self.leases.drop_lease(lease);
                match wanted {
                    Wanted::Paused => Ended::Steered(wanted),
                    Wanted::Cancelled => Ended::Reached(DispatchStatus::Cancelled, counts),
                }
            }
            Err(error) => {
                tracing::warn!(dispatch.id = %dispatch, %error, "a wish cannot be seen to yet; it is looked at again");
                self.give_back(lease).await;
                Ended::LeaseLost
            }
        }
    }

    /// Gives a lease back, so that whoever comes next need not wait.
    pub(super) async fn give_back(&self, lease: &Lease) {
        self.leases.drop_lease(lease);
        let (dispatch, token) = (lease.dispatch, lease.token);
        let released = self
            .db
            .write(move |conn| repository::release(conn, dispatch, token))
            .await;
        if let Err(error) = released {
            tracing::warn!(dispatch.id = %dispatch, %error, "the lease could not be given back; it runs out by itself");
        }
    }
}

impl Machinery {
    /// Cuts off what is under way: what may have been handed over is `unknown`.
    pub(super) fn abort(&self) {
        self.abort.cancel();
        self.abandon.store(true, Ordering::Relaxed);
    }

    /// Ends everything, after the dispatches have ended: senders, then the writer behind them, then beats.
    pub(super) async fn end(mut self) {
        self.stop.cancel();
        self.lanes.end().await;
        // With the last lane the last way to the writer goes.
        drop(self.lanes);
        if let Some(writer) = self.writer.take() {
            let joined = tokio::task::spawn_blocking(move || writer.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the ledger's writer ended with a panic");
            }
        }
        self.beats_stop.cancel();
        let _ = self.beats.await;
    }
}
