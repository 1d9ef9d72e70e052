//! What all dispatches of this process share: the database, the lane with its senders, the permits of W,
//! the ledger's writer and the leases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::denials::Denials;
use super::job::{Ticket, committed};
use super::lane::Lane;
use super::lease::{Lease, Leases};
use super::pacing::Pacing;
use super::sender::{Rate, Senders};
use super::way::Way;
use super::{Clock, holder};
use crate::config::{DeliveryConfig, EmailConfig, OnUnknown, UrlTemplate};
use crate::domain::{Identity, LeaseToken};
use crate::mailer::{Breaker, Dummy, Relay, RelayConfigError};
use crate::render::Templates;
use crate::repository::{self, Claimant, Database, Start, Starting, Writer};

/// Shared by everything that works on dispatches.
pub(super) struct Engine {
    pub(super) db: Database,
    pub(super) config: DeliveryConfig,
    pub(super) identity: Identity,
    pub(super) unsubscribe_url: Option<UrlTemplate>,
    pub(super) templates: Arc<Templates>,
    pub(super) lane: Arc<Lane>,
    pub(super) breaker: Arc<Breaker>,
    pub(super) leases: Leases,
    /// Held by the one dispatch that is in quarantine.
    pub(super) quarantine: tokio::sync::Mutex<()>,
    pub(super) holder: String,
    /// Everything under way was cut off.
    pub(super) abort: CancellationToken,
    pub(super) now: Clock,
}

/// The tasks and the thread behind it, to be ended in order.
pub(super) struct Machinery {
    senders: JoinSet<()>,
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
        db: Database,
        email: &EmailConfig,
        config: DeliveryConfig,
        templates: Arc<Templates>,
        now: Clock,
        stop: &CancellationToken,
    ) -> Result<(Self, Machinery), StartError> {
        let way = if email.dummy {
            let dir = email.dummy_dir.clone();
            Way::Dummy(Dummy { dir })
        } else {
            Way::Relay(Relay::new(&email.relay)?)
        };
        let relay = match &way {
            Way::Relay(relay) => relay.shown(),
            Way::Dummy(_) => "dummy".into(),
        };
        let lane = Arc::new(Lane::new());
        let breaker = Arc::new(Breaker::new(relay));
        let abandon = Arc::new(AtomicBool::new(false));
        let (writer, thread) = Writer::<Ticket>::start(
            db.clone(),
            move || now().naive_utc(),
            Arc::clone(&abandon),
            committed,
        )?;
        let abort = CancellationToken::new();
        let senders = Arc::new(Senders {
            lane: Arc::clone(&lane),
            way,
            breaker: Arc::clone(&breaker),
            denials: Denials::default(),
            rate: rate(email.relay.rate_limit),
            pacing: Pacing::default(),
            permits: Arc::new(Semaphore::new(config.in_flight)),
            writer,
            config: config.clone(),
            connections: email.relay.connections.max(1),
            now,
            passed: AtomicU64::new(0),
            stop: stop.clone(),
            abort: abort.clone(),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..email.relay.connections {
            tasks.spawn(Arc::clone(&senders).run());
        }
        let prober = Arc::clone(&senders);
        tasks.spawn(async move { prober.probe().await });
        let leases = Leases::new(db.clone(), config.lease);
        let beats_stop = CancellationToken::new();
        let beats = tokio::spawn(leases.clone().keep_alive(beats_stop.clone()));
        let engine = Self {
            db,
            config,
            identity: email.identity.clone(),
            unsubscribe_url: email.unsubscribe_url.clone(),
            templates,
            lane,
            breaker,
            leases,
            quarantine: tokio::sync::Mutex::default(),
            holder: holder::this_process(),
            abort: abort.clone(),
            now,
        };
        let machinery = Machinery {
            senders: tasks,
            writer: Some(thread),
            abandon,
            stop: stop.clone(),
            abort,
            beats,
            beats_stop,
        };
        Ok((engine, machinery))
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
    pub(super) fn starting(&self, lease: &Lease) -> Starting {
        Starting {
            dispatch: lease.dispatch,
            token: lease.token,
            hold: self.config.on_unknown == OnUnknown::Hold,
            possible: self.breaker.closed_for().is_none(),
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

/// One e-mail at a time, evenly: a burst is what a limit is to keep away.
fn rate(limit: u32) -> Option<Rate> {
    let quota = governor::Quota::per_second(std::num::NonZeroU32::new(limit)?);
    Some(Rate::direct(quota.allow_burst(std::num::NonZeroU32::MIN)))
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
        while self.senders.join_next().await.is_some() {}
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
