//! One tenant's e-mails while another one's relay hangs: how much longer they take than alone.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::ledger::{Kind, now, since};
use crate::options::Options;
use crate::scene::{EVENT, Scene, Servers};
use crate::sink::{Hang, Manner, Sink};
use crate::{Fallible, tell};

/// E-mails of the tenant that is looked at, each time.
pub(crate) const EMAILS: u64 = 1_000;

/// What the tenant whose relay hangs has to send.
const WAITING: u64 = 10_000;

/// The event of those.
const OTHER: i64 = EVENT + 1;

/// How long the relay has hung before anything is timed.
const REST: Duration = Duration::from_secs(1);

/// What the other tenant's relay does.
const WAYS: [(&str, Option<Hang>); 4] = [
    ("alone", None),
    ("beside a relay that hangs at the greeting", Some(Hang::Greeting)),
    ("beside one that hangs at each final dot", Some(Hang::Dot(0))),
    (
        "beside one that hangs at each final dot after 2,000 e-mails",
        Some(Hang::Dot(2_000)),
    ),
];

/// In ms, from the publication to the close in the ledger.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) way: &'static str,
    pub(crate) took: Vec<f64>,
}

/// Alone and beside each way to hang, interleaved; each run has a worker of its own.
pub(crate) async fn measure(servers: &Servers, options: &Options) -> Fallible<Vec<Row>> {
    let mut rows = WAYS.map(|(way, _)| Row {
        way,
        took: Vec::new(),
    });
    for round in 1..=options.rounds() {
        for (row, (way, hang)) in rows.iter_mut().zip(WAYS) {
            let took = run(servers, options, hang).await?;
            tell(&format!("round {round}, {EMAILS} e-mails {way}: {took:.0?} ms"));
            row.took.extend(took);
        }
    }
    Ok(rows.into())
}

async fn run(servers: &Servers, options: &Options, hang: Option<Hang>) -> Fallible<Vec<f64>> {
    let kind = options.databases.first().copied().unwrap_or(Kind::Sqlite);
    let none = std::iter::empty();
    let mut scene = Scene::start(servers, options, kind, Manner::default(), EMAILS, none).await?;
    tenant(servers, "swift", &scene.sink)?;
    if let Some(hang) = hang {
        let stuck = Sink::start(
            0,
            Manner {
                hang: Some(hang),
                ..Manner::default()
            },
        )?;
        tenant(servers, "hung", &stuck)?;
        scene.ledger.add_event(OTHER, WAITING).await?;
        scene.queue.publish_for(OTHER, Some("hung"), "hung").await?;
        while !stuck.seen().hangs {
            scene.wait(Duration::from_millis(5)).await?;
        }
        sleep(REST).await;
    }
    let mut took = Vec::new();
    for number in 0..options.tries(10) {
        let name = format!("swift-{number}");
        let begun = now();
        scene.queue.publish_for(EVENT, Some("swift"), &name).await?;
        let end = loop {
            if let [Some(end)] = scene.ledger.completed(std::slice::from_ref(&name)).await?[..] {
                break end;
            }
            scene.wait(Duration::from_millis(5)).await?;
        };
        took.push(since(begun, end));
    }
    let emails = EMAILS * u64::from(options.tries(10));
    let seen = scene.sink.seen().clone();
    if (seen.emails, seen.errors) != (emails, 0) {
        return Err(format!("expected {emails} e-mails; sink {}", seen.json()).into());
    }
    scene.close().await?;
    Ok(took)
}

/// A tenant whose relay is `sink`.
fn tenant(servers: &Servers, id: &str, sink: &Sink) -> Fallible<()> {
    let folder = servers.configs().join(id);
    std::fs::create_dir_all(&folder)?;
    let config = json!({"enabled": true, "email": {"smtp_host": "127.0.0.1", "smtp_port": sink.address().port(),
        "smtp_use_tls": false, "from_email": format!("{id}@example.com")}});
    // Whole or not at all, as operators do it.
    std::fs::write(folder.join("new"), config.to_string())?;
    std::fs::rename(folder.join("new"), folder.join("notifications.json"))?;
    Ok(())
}
