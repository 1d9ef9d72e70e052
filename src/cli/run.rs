//! `herald run`: the wiring of the worker.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_retry::strategy::{ExponentialBackoff, jitter};
use tokio_util::sync::CancellationToken;

use super::{CLOCK, Failure, load_config};
use crate::api::{self, Api};
use crate::attachment::Fetcher;
use crate::completion::Relay;
use crate::config::{Config, NotificationsConfig, SourceKind};
use crate::consumer::{self, BrokerStatus, Publisher, Queue, Source};
use crate::live::Live;
use crate::policy::Tenants;
use crate::processor::{Archiving, Bundler, Processor, RelayView, Setup};
use crate::render::TemplateSets;
use crate::repository::{Database, DbError};
use crate::shutdown::Shutdown;
use crate::telemetry::{self, Console};
use crate::worker;

/// Longest wait between two looks for the database.
const DATABASE_WAIT: Duration = Duration::from_secs(15);

/// For taking leave of those who were told.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) async fn run() -> Result<(), Failure> {
    let config = load_config()?;
    let colour = std::io::stdout().is_terminal();
    let _guard =
        telemetry::init(&config.log, Console::Stdout, colour).map_err(|e| Failure::Usage(e.to_string()))?;
    let tenants = Tenants::load(&config.notifications, &config.environment, CLOCK().into());
    let templates = super::templates(&config, &tenants)?;
    let db = Database::new(&config.database)?;
    let archive = super::stored(&config, &db)?;
    let fetcher = super::fetcher(&config)?;
    warn_of_opened(&config.notifications);
    let shutdown = Shutdown::new();
    shutdown
        .listen()
        .map_err(|e| Failure::Failed(format!("cannot listen for signals: {e}")))?;
    let queue = Queue::of(&config);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        broker = queue.shown(),
        queue = queue.name(),
        dummy = config.email.dummy,
        "Herald starts"
    );
    let consuming = shutdown.stopping();
    let (ready, migrated) = watch::channel(false);
    let relays = watch::Sender::default();
    let (source, broker) = queue.start(config.broker.prefetch, consuming);
    let live = Live::new(CLOCK);
    let telling = Telling::start(&config, &live, &broker);
    if let Some(addr) = config.http.addr {
        let listener = api::bind(addr)
            .await
            .map_err(|e| Failure::Failed(format!("HTTP_ADDR: {addr}: {e}")))?;
        tracing::info!(%addr, "HTTP API listens");
        let api = Api {
            db: db.clone(),
            migrated,
            broker,
            publisher: Arc::new(Publisher::new(&queue)),
            queue,
            letters: Arc::default(),
            tenants: tenants.clone(),
            templates: Arc::clone(&templates),
            relays: relays.subscribe(),
            token: config.http.token.clone(),
            live: live.clone(),
            allowed_origins: config.http.allowed_origins.clone().into(),
        };
        tokio::spawn(api::serve(listener, api, shutdown.now().child_token()));
    }
    if !wait_for_database(&db, &shutdown).await? {
        source.close().await;
        return Ok(());
    }
    ready.send_replace(true);
    let bundler = super::bundler(&config, &db, &templates, archive.as_ref(), &fetcher);
    let completing = Completing::start(&config, &db, &live, bundler).await;
    let shown = (templates, tenants, relays, live, (archive, fetcher));
    let worked = work(config, source, db, shown, &shutdown).await;
    let now = shutdown.now().clone();
    now.run_until_cancelled(completing.end()).await;
    telling.end().await;
    worked
}

/// What the processor has besides the configuration.
type Shown = (
    Arc<TemplateSets>,
    Tenants,
    watch::Sender<Vec<RelayView>>,
    Live,
    (Option<Archiving>, Arc<Fetcher>),
);

async fn work(
    config: Config,
    source: Source,
    db: Database,
    (templates, tenants, relays, live, (archive, fetcher)): Shown,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let stop = shutdown.stopping();
    let setup = Setup {
        live,
        archive,
        ..super::setup(&config, db.clone(), templates, tenants, relays, fetcher)
    };
    let processor = Processor::start(setup, CLOCK, stop).map_err(|e| Failure::Usage(e.to_string()))?;
    let working = worker::run(source, processor, db, shutdown, config.shutdown_grace);
    let at_once = async {
        shutdown.now().cancelled().await;
        // What the drain does at once on a second signal gets this long.
        tokio::time::sleep(Duration::from_secs(3)).await;
    };
    tokio::select! {
        () = working => {
            tracing::info!("Herald has stopped");
            Ok(())
        }
        () = at_once => Err(Failure::Failed("stopped at once".into())),
    }
}

/// What follows the ends of dispatches. It outlives the work, whose last closes it still sees.
struct Completing {
    stop: CancellationToken,
    relay: JoinHandle<()>,
}

impl Completing {
    async fn start(config: &Config, db: &Database, live: &Live, bundler: Option<Bundler>) -> Self {
        let metrics = live.metrics().clone();
        let setup = super::completion(config, db.clone(), metrics, bundler).await;
        let stop = CancellationToken::new();
        let relay = tokio::spawn(Relay::new(setup).run(stop.clone()));
        Self { stop, relay }
    }

    async fn end(self) {
        self.stop.cancel();
        if self.relay.await.is_err() {
            tracing::error!(
                "the relay of completions ended unexpectedly; what is pending is done after the next start"
            );
        }
    }
}

/// What tells of the work, until that has ended.
struct Telling {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Telling {
    fn start(config: &Config, live: &Live, broker: &watch::Receiver<BrokerStatus>) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(live.clone().run(stop.clone()));
        // Workers tell each other over AMQP alone.
        if config.source == SourceKind::Amqp {
            let (settings, broker) = (config.broker.clone(), broker.clone());
            tasks.spawn(consumer::broadcast(settings, live.clone(), broker, stop.clone()));
        }
        Self { stop, tasks }
    }

    /// In order, as far as the broker answers.
    async fn end(mut self) {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, all).await;
    }
}

/// Webhooks are a way out of this machine's network: hosts that are opened for them are said aloud.
fn warn_of_opened(config: &NotificationsConfig) {
    if !config.insecure_hosts.is_empty() {
        tracing::warn!(
            hosts = config.insecure_hosts.join(", "),
            "SLACK_ALLOW_INSECURE_HOSTS: webhooks may be at these hosts, over http and at private addresses"
        );
    }
}

/// Creates or upgrades the database, however long it is away; false when told to stop meanwhile.
async fn wait_for_database(db: &Database, shutdown: &Shutdown) -> Result<bool, Failure> {
    let mut waits = ExponentialBackoff::from_millis(2)
        .factor(250)
        .max_delay(DATABASE_WAIT)
        .map(jitter);
    loop {
        match db.migrate().await {
            Ok(ran) => {
                if !ran.is_empty() {
                    tracing::info!(migrations = ran.join(", "), "database upgraded");
                }
                if let Ok(Some(weakness)) = db.weak_durability().await {
                    tracing::warn!(
                        weakness,
                        "the database may lose what it has committed; the ledger's promises presume that it does not"
                    );
                }
                return Ok(true);
            }
            Err(error @ (DbError::Unavailable(_) | DbError::Conflict(_))) => {
                tracing::warn!(%error, "waiting for the database");
            }
            Err(error) => return Err(error.into()),
        }
        let wait = waits.next().unwrap_or(DATABASE_WAIT) + Duration::from_millis(200);
        if shutdown
            .stopping()
            .run_until_cancelled(tokio::time::sleep(wait))
            .await
            .is_none()
        {
            return Ok(false);
        }
    }
}
