//! `herald run`: the wiring of the worker.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_retry::strategy::{ExponentialBackoff, jitter};

use super::{CLOCK, Failure, load_config};
use crate::api::{self, Api};
use crate::config::{Config, NotificationsConfig};
use crate::consumer::{AmqpSource, Publisher};
use crate::policy::Tenants;
use crate::processor::Processor;
use crate::render::TemplateSets;
use crate::repository::{Database, DbError};
use crate::shutdown::Shutdown;
use crate::telemetry::{self, Console};
use crate::worker;

/// Longest wait between two looks for the database.
const DATABASE_WAIT: Duration = Duration::from_secs(15);

pub(super) async fn run() -> Result<(), Failure> {
    let config = load_config()?;
    let colour = std::io::stdout().is_terminal();
    let _guard =
        telemetry::init(&config.log, Console::Stdout, colour).map_err(|e| Failure::Usage(e.to_string()))?;
    let tenants = Tenants::load(&config.notifications, &config.environment, CLOCK().into());
    let templates = super::templates(&config, &tenants)?;
    warn_of_opened(&config.notifications);
    let shutdown = Shutdown::new();
    shutdown
        .listen()
        .map_err(|e| Failure::Failed(format!("cannot listen for signals: {e}")))?;
    let db = Database::new(&config.database)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        broker = config.broker.shown,
        queue = config.broker.queue,
        dummy = config.email.dummy,
        "Herald starts"
    );
    let consuming = shutdown.stopping();
    let (ready, migrated) = watch::channel(false);
    let (source, broker) = AmqpSource::start(&config.broker, consuming);
    if let Some(addr) = config.http.addr {
        let listener = api::bind(addr)
            .await
            .map_err(|e| Failure::Failed(format!("HTTP_ADDR: {addr}: {e}")))?;
        tracing::info!(%addr, "HTTP API listens");
        let api = Api {
            db: db.clone(),
            migrated,
            broker,
            amqp: config.broker.clone(),
            publisher: Arc::new(Publisher::new(&config.broker)),
            letters: Arc::default(),
            tenants: tenants.clone(),
            templates: Arc::clone(&templates),
            relays: watch::channel(Vec::new()).1,
            throughput: watch::channel(Vec::new()).1,
            token: config.http.token.clone(),
        };
        tokio::spawn(api::serve(listener, api, shutdown.now().child_token()));
    }
    if !wait_for_database(&db, &shutdown).await? {
        source.close().await;
        return Ok(());
    }
    ready.send_replace(true);
    work(config, source, db, (templates, tenants), &shutdown).await
}

async fn work(
    config: Config,
    source: AmqpSource,
    db: Database,
    (templates, tenants): (Arc<TemplateSets>, Tenants),
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let stop = shutdown.stopping();
    let setup = super::setup(&config, db.clone(), templates, tenants);
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
