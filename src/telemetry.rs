//! Log lines: to the console always, to `LOG_FILE` as well where one is set, as text or as JSON, each
//! with its time in UTC. Lines are written by a thread of their own, so that a slow disk holds up no
//! delivery; dropping the [`Guard`] writes out what is left.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use tracing::Subscriber;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::{FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::LogConfig;

/// Lines that may wait for a slow writer; more are dropped rather than holding up deliveries.
const BUFFERED_LINES: usize = 65_536;

/// Where the console lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// For the worker, as the contract says.
    Stdout,
    /// For commands whose standard output is their answer.
    Stderr,
}

/// Why there can be no logs.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The file cannot be written.
    #[error(
        "LOG_FILE: {} cannot be opened for writing ({source}); LOG_FILE= (empty) logs to the console alone",
        path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The directives are none.
    #[error("LOG_LEVEL: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Logs were set up before.
    #[error("logs cannot be set up: {0}")]
    Twice(#[from] TryInitError),
}

/// Keeps the writing threads; dropping it writes out what is left.
#[must_use = "lines that still wait are lost without it"]
#[derive(Debug)]
pub struct Guard {
    _workers: Vec<WorkerGuard>,
}

/// Sets up logs for the whole process, once. `colour` is for a console that is a terminal.
///
/// # Errors
/// [`TelemetryError`], each to be shown as it is before the program ends.
pub fn init(config: &LogConfig, console: Console, colour: bool) -> Result<Guard, TelemetryError> {
    let console: Box<dyn Write + Send> = match console {
        Console::Stdout => Box::new(io::stdout()),
        Console::Stderr => Box::new(io::stderr()),
    };
    let (subscriber, guard) = build(config, console, colour)?;
    subscriber.try_init()?;
    Ok(guard)
}

fn build(
    config: &LogConfig,
    console: Box<dyn Write + Send>,
    colour: bool,
) -> Result<(impl Subscriber + Send + Sync, Guard), TelemetryError> {
    let filter = EnvFilter::builder().parse(&config.filter)?;
    let (console, worker) = writer(console);
    let mut workers = vec![worker];
    let mut file = None;
    if let Some(path) = &config.file {
        let open = OpenOptions::new().create(true).append(true).open(path);
        let open = open.map_err(|source| TelemetryError::File {
            path: path.clone(),
            source,
        })?;
        let (lines, worker) = writer(open);
        workers.push(worker);
        file = Some(if config.json {
            json(lines)
        } else {
            tracing_subscriber::fmt::layer()
                .fmt_fields(PlainFields(DefaultFields::new()))
                .with_ansi(false)
                .with_writer(lines)
                .boxed()
        });
    }
    let console = if config.json {
        json(console)
    } else {
        tracing_subscriber::fmt::layer()
            .with_ansi(colour)
            .with_writer(console)
            .boxed()
    };
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(console)
        .with(file);
    Ok((subscriber, Guard { _workers: workers }))
}

fn writer(target: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .buffered_lines_limit(BUFFERED_LINES)
        .finish(target)
}

fn json<S, W>(lines: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_writer(lines)
        .boxed()
}

/// A span's fields are formatted once for each type of formatter: one of its own keeps the console's
/// colours out of the file.
struct PlainFields(DefaultFields);

impl<'w> FormatFields<'w> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        self.0.format_fields(writer, fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, read_to_string};
    use std::path::Path;

    fn config(dir: &Path, json: bool) -> LogConfig {
        LogConfig {
            filter: "info,herald::loud=debug".to_owned(),
            json,
            file: Some(dir.join("file.log")),
        }
    }

    /// Both outputs of the same few lines.
    fn lines(json: bool, colour: bool) -> (String, String) {
        let dir = tempfile::tempdir().unwrap();
        let console = dir.path().join("console.log");
        let (subscriber, guard) = build(
            &config(dir.path(), json),
            Box::new(File::create(&console).unwrap()),
            colour,
        )
        .unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("dispatch", id = "d-1");
            let _entered = span.enter();
            tracing::info!(sent = 250, "dispatch done");
            tracing::debug!("not shown");
            tracing::debug!(target: "herald::loud", "shown");
        });
        drop(guard);
        (
            read_to_string(console).unwrap(),
            read_to_string(dir.path().join("file.log")).unwrap(),
        )
    }

    #[test]
    fn text_to_both_and_colour_to_the_console_alone() {
        let (console, file) = lines(false, true);
        assert!(console.contains("\u{1b}["), "{console}");
        assert!(!file.contains('\u{1b}'), "{file}");
        assert_eq!(file.lines().count(), 2, "{file}");
        assert!(
            file.contains("dispatch{id=\"d-1\"}") && file.contains("sent=250"),
            "{file}"
        );
        assert!(!file.contains("not shown"));
        let time = file.split_whitespace().next().unwrap();
        assert!(
            time.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(time).is_ok(),
            "{time}"
        );
    }

    #[test]
    fn json_lines() {
        let (console, file) = lines(true, false);
        assert_eq!((console.lines().count(), file.lines().count()), (2, 2));
        let line: serde_json::Value = serde_json::from_str(file.lines().next().unwrap()).unwrap();
        assert_eq!(line["message"], "dispatch done");
        assert_eq!(line["sent"], 250);
        assert_eq!(line["spans"][0]["id"], "d-1");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path(), false);
        config.file = Some(dir.path().join("none/file.log"));
        let error = build(&config, Box::new(io::sink()), false)
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.starts_with("LOG_FILE: ") && error.contains("none/file.log"),
            "{error}"
        );
    }
}
