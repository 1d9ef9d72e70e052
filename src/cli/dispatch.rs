//! `herald dispatch`: one message, no broker.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::progress::Progress;
use super::{CLOCK, Failure, load_config, open_database, quiet_logs};
use crate::completion::{self, Relay};
use crate::consumer::{Delivery, Verdict};
use crate::domain::{DispatchId, NotificationStatus, Source};
use crate::message::{self, Message};
use crate::policy::Tenants;
use crate::processor::{Judgement, Processor, Setup};
use crate::repository::{self, Database};
use crate::shutdown::Shutdown;
use tokio::sync::watch;

/// Between two looks at the progress.
const TICK: Duration = Duration::from_millis(200);

pub(super) async fn dispatch(file: &Path) -> Result<(), Failure> {
    let config = load_config()?;
    let _guard = quiet_logs(&config.log)?;
    let body = read(file)?;
    let db = open_database(&config).await?;
    let shutdown = Shutdown::new();
    shutdown
        .listen()
        .map_err(|e| Failure::Failed(format!("cannot listen for signals: {e}")))?;
    let stop = shutdown.stopping();
    let tenants = Tenants::new(&config.notifications, &config.environment);
    let templates = super::templates(&config, &tenants)?;
    let archive = super::stored(&config, &db)?;
    let fetcher = super::fetcher(&config)?;
    let bundler = super::bundler(&config, &db, &templates, archive.as_ref(), &fetcher);
    let setup = Setup {
        source: Source::Dispatch,
        archive,
        ..super::setup(
            &config,
            db.clone(),
            templates,
            tenants,
            watch::Sender::default(),
            fetcher,
        )
    };
    let completing = super::completion(&config, db.clone(), setup.live.metrics().clone(), bundler).await;
    let processor = Processor::start(setup, CLOCK, stop).map_err(|e| Failure::Usage(e.to_string()))?;

    let (delivery, _verdict) = Delivery::local(&config.broker.queue, body, None);
    let delivery = Arc::new(delivery);
    let watching = tokio::spawn(watch(db.clone(), audience(&delivery.body)));
    let judgement = process(&processor, &delivery, &shutdown, config.shutdown_grace).await;
    watching.abort();
    stop.cancel();
    processor.end().await;
    complete(completing, &judgement).await;
    match (&judgement.verdict, &judgement.ended, judgement.dispatch) {
        (Some(Verdict::Ack), None, Some(dispatch)) => at_rest(&db, dispatch).await,
        _ => summary(judgement),
    }
}

/// What follows the end of the dispatch, if it has one; what cannot be done now is left to a worker.
async fn complete(setup: completion::Setup, judgement: &Judgement) {
    let Some(dispatch) = judgement.dispatch else {
        return;
    };
    if let Err(error) = Relay::new(setup).complete(dispatch).await {
        eprintln!("Its completion is pending, for a running worker: {error}");
    }
}

/// Waits for the end; after a stop no longer than the grace for what is under way.
async fn process(
    processor: &Processor,
    delivery: &Arc<Delivery>,
    shutdown: &Shutdown,
    grace: Duration,
) -> Judgement {
    let mut processing = std::pin::pin!(processor.process(delivery));
    tokio::select! {
        judgement = &mut processing => judgement,
        () = cut_off(shutdown, grace) => {
            processor.abort();
            processing.await
        }
    }
}

async fn cut_off(shutdown: &Shutdown, grace: Duration) {
    shutdown.stopping().cancelled().await;
    let _ = tokio::time::timeout(grace, shutdown.now().cancelled()).await;
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    // One byte over the limit is enough to refuse it, whatever follows.
    let limit = message::MAX_BODY as u64 + 1;
    let read = if file == Path::new("-") {
        std::io::stdin().take(limit).read_to_end(&mut body)
    } else {
        std::fs::File::open(file).and_then(|f| f.take(limit).read_to_end(&mut body))
    };
    read.map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))?;
    Ok(body)
}

fn audience(body: &[u8]) -> Option<i64> {
    match message::parse(body) {
        Ok(Message::Event(event)) => Some(event.event_id.get()),
        Ok(Message::Order(_) | Message::Pipeline(_)) | Err(_) => None,
    }
}

/// Shows how far the newest dispatch of the event is.
async fn watch(db: Database, event: Option<i64>) -> Option<()> {
    let event = event?;
    let total = db
        .read(move |conn| repository::audience(conn, event))
        .await
        .ok()?;
    let mut progress = Progress::new("telling participants", total);
    loop {
        tokio::time::sleep(TICK).await;
        let done = db.read(move |conn| repository::settled(conn, event)).await.ok()?;
        progress.set(done);
    }
}

/// The ledger has it: it came to an end before, or waits.
async fn at_rest(db: &Database, dispatch: DispatchId) -> Result<(), Failure> {
    let view = db.read(move |conn| repository::dispatch(conn, dispatch)).await?;
    match view {
        Some(view) if view.closed_at.is_none() => {
            let why = view.error.map(|error| format!(" ({error})")).unwrap_or_default();
            println!(
                "{}{why}: a running worker takes it up (dispatch {dispatch})",
                view.status
            );
            Err(Failure::Told)
        }
        _ => {
            println!("The ledger has this message already.");
            Ok(())
        }
    }
}

fn summary(judgement: Judgement) -> Result<(), Failure> {
    match (judgement.verdict, judgement.ended) {
        (Some(Verdict::DeadLetter(letter)), _) => Err(Failure::Failed(format!(
            "refused: {}: {}",
            letter.reason, letter.error
        ))),
        (Some(Verdict::Ack), Some((status, counts))) => {
            let outcome: Vec<String> = counts.iter().map(|(s, n)| format!("{n} {s}")).collect();
            let outcome = if outcome.is_empty() {
                "nobody to tell".into()
            } else {
                outcome.join(", ")
            };
            let id = judgement.dispatch.map(|d| d.to_string()).unwrap_or_default();
            println!("{status}: {outcome} (dispatch {id})");
            let missed = [
                NotificationStatus::Failed,
                NotificationStatus::Unknown,
                NotificationStatus::Deferred,
            ];
            if missed.iter().any(|&s| counts.of(s) > 0) {
                Err(Failure::Told)
            } else {
                Ok(())
            }
        }
        (Some(Verdict::Ack), None) => Ok(()),
        (Some(Verdict::RetryLater), _) => Err(Failure::Failed("it cannot be worked off; see the log".into())),
        (None, _) => Err(Failure::Failed(
            "interrupted; the same command takes it up again".into(),
        )),
    }
}
