//! The only loop over deliveries: receive, spawn, settle, drain. The broker's prefetch bounds how many are
//! in work; a panic in one of them still settles its message.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::consumer::{Delivery, Settled, Source, Verdict};
use crate::domain::DispatchId;
use crate::live::Live;
use crate::processor::{Judgement, Processor};
use crate::repository::{self, Database};
use crate::shutdown::Shutdown;

/// Before a message that went wrong for a reason of ours is given back: it would return at once.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Acks that are proven by one call to the broker and one transaction.
const PROOFS: usize = 100;

/// How long the last proofs are waited for at a stop.
const PROVING: Duration = Duration::from_secs(10);

/// An ack on its way.
type Acked = (Arc<Delivery>, DispatchId);

/// Consumes until told to stop, then drains: what is in flight may finish within `grace`, what is done is
/// acked, the rest stays unacked and comes again.
pub async fn run(
    mut source: Source,
    processor: Processor,
    db: Database,
    shutdown: &Shutdown,
    grace: Duration,
) {
    let processor = Arc::new(processor);
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&processor).sweep());
    tasks.spawn(Arc::clone(&processor).steer());
    tasks.spawn(Arc::clone(&processor).tell_open());
    let (acked, proofs) = mpsc::channel(PROOFS);
    let prover = tokio::spawn(prove(proofs, db));
    loop {
        tokio::select! {
            biased;
            () = shutdown.stopping().cancelled() => break,
            delivery = source.next() => match delivery {
                Some(delivery) => {
                    let delivery = Arc::new(delivery);
                    tasks.spawn(attend(Arc::clone(&processor), delivery, shutdown.clone(), acked.clone()));
                }
                None => break,
            },
            Some(_) = tasks.join_next() => {}
        }
    }
    source.stop_consuming().await;
    drain(&mut tasks, &processor, shutdown, grace).await;
    drop(acked);
    if tokio::time::timeout(PROVING, prover).await.is_err() {
        tracing::debug!("acks that the broker did not confirm in time stay unproven");
    }
    source.close().await;
    if let Some(processor) = Arc::into_inner(processor) {
        processor.end().await;
    }
}

async fn drain(tasks: &mut JoinSet<()>, processor: &Processor, shutdown: &Shutdown, grace: Duration) {
    let all = async { while tasks.join_next().await.is_some() {} };
    let in_time = shutdown
        .now()
        .run_until_cancelled(tokio::time::timeout(grace, all))
        .await;
    if !matches!(in_time, Some(Ok(()))) {
        tracing::warn!("time is up: letting go of what is still under way");
        processor.abort();
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(5), all).await.is_err() {
            tasks.abort_all();
            while tasks.join_next().await.is_some() {}
        }
    }
}

/// One delivery, from receipt to settlement.
async fn attend(
    processor: Arc<Processor>,
    delivery: Arc<Delivery>,
    shutdown: Shutdown,
    acked: mpsc::Sender<Acked>,
) {
    let processed = AssertUnwindSafe(processor.process(&delivery))
        .catch_unwind()
        .await;
    let Judgement {
        verdict, dispatch, ..
    } = processed.unwrap_or_else(|_| {
        tracing::error!("processing a message failed unexpectedly; it is given back");
        Judgement {
            verdict: Some(Verdict::RetryLater),
            dispatch: None,
            ended: None,
        }
    });
    let Some(verdict) = verdict else { return };
    if verdict == Verdict::RetryLater {
        let pause = tokio::time::sleep(RETRY_PAUSE);
        if shutdown.stopping().run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
    // A dead letter may be doubled, so nothing depends on whose it was.
    if let (Verdict::Ack, Some(dispatch)) = (&verdict, dispatch) {
        while !processor.ack_begins(&delivery, dispatch).await {
            let pause = tokio::time::sleep(RETRY_PAUSE);
            if shutdown.stopping().run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }
    let live = processor.live().clone();
    drop(processor);
    loop {
        match delivery.settle(&verdict).await {
            Settled::Done => {
                tell(&live, &delivery, &verdict);
                break;
            }
            Settled::Lost => {
                tracing::info!("the connection of this delivery is gone; the broker brings it again");
                break;
            }
            Settled::Failed(error) => {
                tracing::error!(%error, "the dead letter was not taken; the message stays");
                let pause = tokio::time::sleep(RETRY_PAUSE);
                if shutdown.stopping().run_until_cancelled(pause).await.is_none() {
                    return;
                }
            }
        }
    }
    if let (Verdict::Ack | Verdict::DeadLetter(_), Some(dispatch)) = (&verdict, dispatch) {
        // Full only while the broker is slow.
        let _ = acked.send((delivery, dispatch)).await;
    }
}

/// A dead letter is there for people only now.
fn tell(live: &Live, delivery: &Delivery, verdict: &Verdict) {
    if let Verdict::DeadLetter(letter) = verdict {
        let dispatch = letter.dispatch.map(|id| id.to_string());
        let id = delivery.message_id.as_deref();
        live.dead_letter(letter.reason.as_str(), &letter.error, id, dispatch);
    }
}

/// Asks the broker whether acks arrived, many at a time, and writes that down.
async fn prove(mut acked: mpsc::Receiver<Acked>, db: Database) {
    let mut waiting = Vec::with_capacity(PROOFS);
    while acked.recv_many(&mut waiting, PROOFS).await > 0 {
        let mut proven = Vec::with_capacity(waiting.len());
        let mut lost = Vec::new();
        for (delivery, dispatch) in waiting.drain(..) {
            if delivery.prove().await {
                proven.push(dispatch);
            } else {
                lost.push(dispatch);
            }
        }
        let write = db.write(move |conn| {
            repository::ack_proven(conn, &proven)?;
            repository::ack_lost(conn, &lost)
        });
        if let Err(error) = write.await {
            tracing::warn!(%error, "proven acks are not recorded");
        }
    }
}
