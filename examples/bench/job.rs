//! One event with many participants: from the publication until all are told and recorded and the message is
//! acked.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::ledger::Kind;
use crate::machine;
use crate::operators::Operators;
use crate::options::Options;
use crate::scene::{EVENT, Scene, Servers};
use crate::sink::Manner;
use crate::{Fallible, tell};

/// One run's figures.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    /// E-mails a second.
    pub(crate) rate: f64,
    /// CPU seconds per 1,000 e-mails.
    pub(crate) cpu: f64,
    /// In MB.
    pub(crate) peak_rss: f64,
    /// Groups of replies an e-mail.
    pub(crate) round_trips: f64,
    /// At once.
    pub(crate) connections: f64,
    /// Cores that others used meanwhile.
    pub(crate) foreign: f64,
}

/// The runs of one way.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) latency: f64,
    pub(crate) runs: Vec<Figures>,
}

/// Every way so many times, interleaved.
pub(crate) async fn all(servers: &Servers, options: &Options) -> Fallible<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for &latency in &options.latency {
        for &kind in &options.databases {
            rows.push(Row {
                kind,
                latency,
                runs: Vec::new(),
            });
        }
    }
    for round in 1..=options.rounds() {
        for row in &mut rows {
            let figures = run(servers, options, row.kind, row.latency).await?;
            tell(&format!(
                "round {round}, {}, {} ms: {:.0} e-mails/s, {:.3} CPU s/1000, {:.1} MB, {:.2} round trips, foreign {:.2}",
                row.kind.shown(),
                row.latency,
                figures.rate,
                figures.cpu,
                figures.peak_rss,
                figures.round_trips,
                figures.foreign,
            ));
            row.runs.push(figures);
        }
    }
    Ok(rows)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of e-mails")]
async fn run(servers: &Servers, options: &Options, kind: Kind, latency: f64) -> Fallible<Figures> {
    let n = options.n();
    let manner = Manner {
        delay: Duration::from_secs_f64(latency / 1000.0),
        chunking: options.chunking,
        ..Manner::default()
    };
    let mut scene = Scene::start(servers, options, kind, manner, n, std::iter::empty()).await?;
    let mut operators = match scene.port {
        Some(port) => Some(Operators::arrive(port).await?),
        None => None,
    };
    let profiler = profile(options, scene.worker.pid())?;
    let mut groups = servers.groups.clone();
    groups.push(scene.worker.pid());
    let (cpu, foreign, begun) = (
        machine::cpu(scene.worker.pid()),
        machine::foreign(&groups),
        Instant::now(),
    );
    scene.queue.publish(EVENT, "job").await?;
    scene.settle(n).await?;
    let wall = begun.elapsed().as_secs_f64();
    if operators.as_mut().is_some_and(|operators| !operators.are_there()) {
        return Err("a client of /ws was let go".into());
    }
    drop(operators);
    let cpu = machine::cpu(scene.worker.pid()) - cpu;
    let foreign = (machine::foreign(&groups) - foreign).max(0.0);
    let peak_rss = machine::peak_rss(scene.worker.pid());
    let (groups, connections) = {
        let seen = scene.sink.seen();
        (seen.groups as f64, seen.open.1 as f64)
    };
    if let Some(mut profiler) = profiler {
        Command::new("kill")
            .args(["-INT", &profiler.id().to_string()])
            .status()?;
        profiler.wait()?;
    }
    scene.end(n, n).await?;
    let n = n as f64;
    Ok(Figures {
        rate: n / wall,
        cpu: 1000.0 * cpu / n,
        peak_rss,
        round_trips: groups / n,
        connections,
        foreign: foreign / wall,
    })
}

/// `perf record` beside the worker, if that is wanted.
fn profile(options: &Options, pid: u32) -> Fallible<Option<Child>> {
    let Some(file) = &options.profile else {
        return Ok(None);
    };
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "INT", "--", "perf"])
        .args([
            "record",
            "-q",
            "-F",
            "1999",
            "-g",
            "--call-graph",
            "dwarf,8192",
            "-p",
            &pid.to_string(),
            "-o",
        ])
        .arg(file)
        .spawn()?;
    // It has to be there before the message.
    std::thread::sleep(Duration::from_secs(1));
    Ok(Some(child))
}
