//! What a person types: arguments, wiring and exit codes. 0: done; 1: failed; 2: bad usage or bad
//! configuration.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the answers of commands go there"
)]

mod archive;
mod arguments;
mod completions;
mod dead_letters;
mod dispatch;
mod doctor;
mod preview;
mod progress;
mod retry;
mod run;
mod status;
mod steer;
mod tenant;
mod test_data;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::Parser;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::archive::{Late, Recorder, Sealing};
use crate::attachment::{Fetcher, Limits};
use crate::completion::{self, HOOK_LIMIT, Targets};
use crate::config::{Config, LogConfig, SourceKind};
use crate::domain::Source;
use crate::failpoint;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::policy::Tenants;
use crate::processor::{Archiving, Bundler, RelayView, Setup};
use crate::render::TemplateSets;
use crate::repository::{Database, DbError};
use crate::storage::{self, StorageBuilder, StorageError};
use crate::telemetry::{self, Console, Guard};
use arguments::{Command, Herald};

/// The wall clock, read here and passed on.
const CLOCK: crate::processor::Clock = utc_now;

fn utc_now() -> DateTime<Utc> {
    Utc::now()
}

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// Exit code 1; what is to be said was said.
    #[error("failed")]
    Told,
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// The program `herald`.
pub fn herald() -> ExitCode {
    let arguments = Herald::parse();
    let _armed = failpoint::arm();
    finish(with_runtime(async move {
        match arguments.command {
            Command::Run => Box::pin(run::run()).await,
            Command::Migrate => migrate().await,
            Command::Dispatch { file } => dispatch::dispatch(&file).await,
            Command::Status { dispatch, json } => status::status(dispatch, json).await,
            Command::Retry(what) => retry::retry(what).await,
            Command::Pause { dispatch } => steer::steer(dispatch, steer::Wish::Pause).await,
            Command::Resume { dispatch } => steer::steer(dispatch, steer::Wish::Resume).await,
            Command::Cancel { dispatch } => steer::steer(dispatch, steer::Wish::Cancel).await,
            Command::DeadLetters(what) => dead_letters::dead_letters(what).await,
            Command::Completions(what) => completions::completions(what).await,
            Command::Archive(what) => archive::archive(what).await,
            Command::Tenant { id, json } => tenant::tenant(&id, json),
            Command::Preview { template, format } => preview::preview(&template, format),
            Command::Doctor { tenant, json } => doctor::doctor(tenant.as_ref(), json).await,
        }
    }))
}

/// The program `add_test_data`.
pub fn add_test_data() -> ExitCode {
    let arguments = arguments::AddTestData::parse();
    finish(with_runtime(test_data::add(arguments)))
}

fn finish(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Told) {
                eprintln!("{failure}");
            }
            ExitCode::from(if matches!(failure, Failure::Usage(_)) {
                2
            } else {
                1
            })
        }
    }
}

fn with_runtime(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::Failed(format!("cannot start: {e}")))?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

/// The configuration, or all its problems.
fn load_config() -> Result<Config, Failure> {
    // Nobody else installs a provider; a second call would only say that one is there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Config::load().map_err(|errors| Failure::Usage(errors.to_string()))
}

/// Logs of a command whose standard output is its answer: to stderr, and only what is wrong.
fn quiet_logs(config: &LogConfig) -> Result<Guard, Failure> {
    let quiet = LogConfig {
        filter: "warn".into(),
        json: config.json,
        file: None,
    };
    telemetry::init(&quiet, Console::Stderr, std::io::stderr().is_terminal())
        .map_err(|e| Failure::Usage(e.to_string()))
}

/// The database, created or upgraded.
async fn open_database(config: &Config) -> Result<Database, Failure> {
    let db = Database::new(&config.database)?;
    db.migrate().await?;
    Ok(db)
}

/// The templates, those of tenants beside their configuration.
fn templates(config: &Config, tenants: &Tenants) -> Result<Arc<TemplateSets>, Failure> {
    let sets = TemplateSets::new(config.templates_dir.as_deref(), Some(tenants.folder()));
    sets.map(Arc::new).map_err(|e| Failure::Usage(e.to_string()))
}

/// Where dispatches are kept, if they are.
fn stored(config: &Config, db: &Database) -> Result<Option<Archiving>, Failure> {
    let wrong = |e: StorageError| Failure::Usage(format!("OC_STORAGE_TYPE: {e}"));
    let Some((store, unpacking)) = storage::from_config(&config.storage, &config.aws).map_err(wrong)? else {
        return Ok(None);
    };
    // Pages of e-mails are packed, and stay so: what unpacks is for attachments.
    let builder = StorageBuilder::new(store.clone());
    let builder = if config.storage.bundler {
        builder.bundler()
    } else {
        builder
    };
    let storage = builder.build();
    let late = Late {
        store: store.clone(),
        db: db.clone(),
        now: CLOCK,
    };
    let sealing = Sealing::new(Arc::clone(&storage), late, Handle::current());
    let recorder = Recorder::new(sealing);
    Ok(Some(Archiving {
        recorder,
        store,
        storage,
        unpacking,
    }))
}

/// Makes bundles whole, where dispatches are kept.
fn bundler(
    config: &Config,
    db: &Database,
    templates: &Arc<TemplateSets>,
    archiving: Option<&Archiving>,
    fetcher: &Arc<Fetcher>,
) -> Option<Bundler> {
    Some(Bundler {
        db: db.clone(),
        templates: Arc::clone(templates),
        unsubscribe_url: config.email.unsubscribe_url.clone(),
        fetcher: Arc::clone(fetcher),
        archiving: archiving?.clone(),
    })
}

/// How attachments are come by.
fn fetcher(config: &Config) -> Result<Arc<Fetcher>, Failure> {
    let hosts = config.attachment_hosts.clone();
    let fetcher = Fetcher::new(hosts, Limits::default(), failpoint::attachments_ca().as_deref());
    let fetcher = fetcher.map_err(|e| Failure::Usage(format!("ATTACHMENT_HOSTS: {e}")))?;
    Ok(Arc::new(fetcher))
}

/// What the processor needs, from the configuration.
fn setup(
    config: &Config,
    db: Database,
    templates: Arc<TemplateSets>,
    tenants: Tenants,
    relays: watch::Sender<Vec<RelayView>>,
    fetcher: Arc<Fetcher>,
) -> Setup {
    Setup {
        db,
        email: config.email.clone(),
        delivery: config.delivery.clone(),
        source: match config.source {
            SourceKind::Amqp => Source::Amqp,
            SourceKind::Sqs { .. } => Source::Sqs,
        },
        pipelines_enabled: config.notifications.enabled,
        prefetch: config.broker.prefetch.into(),
        templates,
        tenants,
        relays,
        live: Live::new(CLOCK),
        archive: None,
        fetcher,
    }
}

/// What the relay of completions needs, from the configuration.
async fn completion(
    config: &Config,
    db: Database,
    metrics: Metrics,
    bundler: Option<Bundler>,
) -> completion::Setup {
    completion::Setup {
        db,
        targets: Targets::new(&config.completions, &config.broker, &config.aws).await,
        finalise: bundler.map_or_else(completion::nothing_stored, Bundler::into_finalise),
        hooks: Vec::new(),
        hook_limit: HOOK_LIMIT,
        metrics,
        now: CLOCK,
    }
}

async fn migrate() -> Result<(), Failure> {
    let config = load_config()?;
    let _guard = quiet_logs(&config.log)?;
    let ran = Database::new(&config.database)?.migrate().await?;
    if ran.is_empty() {
        println!("The database is up to date.");
    }
    for name in ran {
        println!("Migrated: {name}");
    }
    Ok(())
}
