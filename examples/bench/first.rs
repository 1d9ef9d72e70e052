//! How soon the first e-mail of a message comes from an idle worker.

use std::time::{Duration, Instant};

use crate::ledger::Kind;
use crate::options::Options;
use crate::scene::{EVENT, Scene, Servers};
use crate::sink::Manner;
use crate::{Fallible, tell};

/// Participants of the event.
pub(crate) const PARTICIPANTS: u64 = 1_000;

/// The worker does nothing before each try.
const REST: Duration = Duration::from_secs(1);

/// In ms, one for each try.
pub(crate) async fn measure(servers: &Servers, options: &Options) -> Fallible<Vec<f64>> {
    let kind = options.databases.first().copied().unwrap_or(Kind::Sqlite);
    let none = std::iter::empty();
    let mut scene = Scene::start(servers, options, kind, Manner::default(), PARTICIPANTS, none).await?;
    let mut waits = Vec::new();
    let mut emails = 0;
    for number in 0..options.tries(15) {
        tokio::time::sleep(REST).await;
        scene.sink.seen().arrivals.clear();
        let begun = Instant::now();
        scene.queue.publish(EVENT, &format!("try-{number}")).await?;
        emails += PARTICIPANTS;
        scene.settle(emails).await?;
        let first = scene.sink.seen().arrivals.values().map(|(first, _)| *first).min();
        let first = first.ok_or("no e-mail came")?;
        waits.push((first - begun).as_secs_f64() * 1000.0);
    }
    scene.end(emails, PARTICIPANTS).await?;
    tell(&format!("first e-mail: {waits:.0?} ms"));
    Ok(waits)
}
