//! The whole job, measured from outside: a message on the queue, `herald run`, and a sink for its e-mails.
//! Started by `scripts/bench`, which brings the servers.

mod fairness;
mod first;
mod hang;
mod job;
mod ledger;
mod machine;
mod operators;
mod options;
mod queue;
mod report;
mod scene;
#[path = "../../benches/sink/mod.rs"]
mod sink;
mod worker;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use self::options::{Options, Scenario};
use self::report::Report;
use self::scene::Servers;
use self::sink::{Manner, Sink};

/// Whatever went wrong, in words.
type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // What asks the broker's management API is built for TLS, too.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = Options::parse();
    let done = match options.sink {
        Some(port) => serve(port, &options),
        None => measure(&options).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Progress, beside the report.
#[expect(clippy::print_stderr, reason = "the report goes to standard output")]
fn tell(line: &str) {
    eprintln!("{line}");
}

/// The sink alone; each line on standard input is answered with what it has seen.
fn serve(port: u16, options: &Options) -> Fallible<()> {
    let delay = Duration::from_secs_f64(options.latency.first().copied().unwrap_or_default() / 1000.0);
    let chunking = options.chunking;
    let manner = Manner {
        delay,
        chunking,
        ..Manner::default()
    };
    let sink = Sink::start(port, manner)?;
    tell(&format!(
        "listening on {}; Enter shows the counts",
        sink.address()
    ));
    for line in std::io::stdin().lines() {
        line?;
        println!("{}", sink.seen().json());
    }
    println!("{}", sink.seen().json());
    Ok(())
}

async fn measure(options: &Options) -> Fallible<()> {
    let servers = Servers::from_environment()?;
    let mut report = Report::default();
    for scenario in options.scenarios() {
        match scenario {
            Scenario::Job => report.jobs = job::all(&servers, options).await?,
            Scenario::First => report.first = Some(first::measure(&servers, options).await?),
            Scenario::Fairness => report.fairness = Some(fairness::measure(&servers, options).await?),
            Scenario::Hang => report.hang = hang::measure(&servers, options).await?,
        }
    }
    report.put(options)
}
