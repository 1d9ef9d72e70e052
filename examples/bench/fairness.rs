//! Small events beside a giant one: how much later each is done than alone.

use std::time::Duration;

use chrono::NaiveDateTime;
use tokio::time::sleep;

use crate::ledger::{Kind, now, since};
use crate::options::Options;
use crate::scene::{EVENT, Scene, Servers};
use crate::sink::Manner;
use crate::{Fallible, tell};

/// Between two publications.
const STEP: Duration = Duration::from_millis(40);

/// How long the small events take.
#[derive(Debug)]
pub(crate) struct Fairness {
    /// In ms, from the publication to the close in the ledger.
    pub(crate) alone: Vec<f64>,
    /// The same while the giant runs, in the same order.
    pub(crate) beside: Vec<f64>,
}

impl Fairness {
    /// In ms, for each event.
    pub(crate) fn differences(&self) -> Vec<f64> {
        self.beside
            .iter()
            .zip(&self.alone)
            .map(|(beside, alone)| beside - alone)
            .collect()
    }
}

pub(crate) async fn measure(servers: &Servers, options: &Options) -> Fallible<Fairness> {
    let kind = options.databases.first().copied().unwrap_or(Kind::Sqlite);
    let (giant, number) = (options.giant(), i64::from(options.tries(50)));
    let events: Vec<i64> = (1001..1001 + number).collect();
    let small = u64::try_from(number)? * 10;
    let manner = Manner::default();
    let mut scene = Scene::start(servers, options, kind, manner, giant, events.iter().copied()).await?;
    let (alone, _) = publish(&mut scene, &events, "alone").await?;
    scene.settle(small).await?;

    scene.queue.publish(EVENT, "giant").await?;
    while scene.sink.seen().emails < small + giant / 50 {
        scene.wait(Duration::from_millis(2)).await?;
    }
    let (beside, last) = publish(&mut scene, &events, "beside").await?;
    let running = scene.ledger.completed(&["giant".to_owned()]).await?;
    if running[0].is_some_and(|done| done <= last) {
        return Err("the giant event was done before the small ones: raise --giant".into());
    }
    let emails = giant + 2 * small;
    scene.settle(emails).await?;
    scene.end(emails, giant + small).await?;
    let fairness = Fairness { alone, beside };
    tell(&format!(
        "small events, ms later than alone: {:.0?}",
        fairness.differences()
    ));
    Ok(fairness)
}

/// Publishes one message for each event; how long each took, and when the last was done.
async fn publish(scene: &mut Scene, events: &[i64], kind: &str) -> Fallible<(Vec<f64>, NaiveDateTime)> {
    let names: Vec<String> = events.iter().map(|event| format!("{kind}-{event}")).collect();
    let mut begun = Vec::new();
    for (&event, name) in events.iter().zip(&names) {
        begun.push(now());
        scene.queue.publish(event, name).await?;
        sleep(STEP).await;
    }
    loop {
        let ends: Option<Vec<NaiveDateTime>> = scene.ledger.completed(&names).await?.into_iter().collect();
        if let Some(ends) = ends {
            let last = ends.iter().max().copied().ok_or("no small events")?;
            let took = begun
                .iter()
                .zip(&ends)
                .map(|(&begun, &end)| since(begun, end))
                .collect();
            return Ok((took, last));
        }
        scene.wait(Duration::from_millis(10)).await?;
    }
}
