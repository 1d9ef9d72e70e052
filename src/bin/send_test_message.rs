//! Publishes test messages to the main queue: persistent and confirmed, as a good publisher does.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use futures_util::{StreamExt, TryStreamExt, stream};
use herald::config::Config;
use herald::consumer::{BrokerError, Publisher, Queue};
use herald::domain::EventId;
use indicatif::ProgressBar;

/// Publishes under way at once.
const AT_ONCE: usize = 16;

/// Publishes test messages to the queue that Herald consumes (LAVINMQ_QUEUE), persistent and confirmed by
/// the broker. The queue is created if there is none. The broker is taken from the environment or from
/// .env: LAVINMQ_URL, or LAVINMQ_HOST and its companions.
///
/// Exit codes: 0 all messages are confirmed; 1 the broker did not take them; 2 bad usage or configuration.
#[derive(Debug, Parser)]
#[expect(clippy::doc_markdown, reason = "these comments are the help text")]
#[command(after_help = "Examples:
  send_test_message --type UPDATED --event-id 123
  send_test_message --type CREATED --event-id 7 --count 50
  send_test_message --json message.json
  echo '{\"type\": \"CANCELLED\", \"event_id\": 7}' | send_test_message --json -")]
struct Arguments {
    /// What happened to the event: CREATED, UPDATED or CANCELLED (others are sent as they are, to see them refused)
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "json")]
    kind: Option<String>,
    /// The event, from 1 to 2^63-1
    #[arg(long, value_name = "ID", required_unless_present = "json")]
    event_id: Option<EventId>,
    /// Send the content of this file instead, as it is (`-` = standard input)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kind", "event_id"])]
    json: Option<PathBuf>,
    /// How many messages to send
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// One message_id for all of them; otherwise each has its own (a UUID)
    #[arg(long, value_name = "ID", value_parser = message_id)]
    message_id: Option<String>,
}

/// Why nothing more was sent, with the exit code that it means.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Config(#[from] herald::config::ConfigErrors),
    #[error("cannot read {0}: {1}")]
    Read(String, std::io::Error),
    #[error("{confirmed} of {count} messages confirmed in {queue} at {broker}, then: {error}")]
    Broker {
        broker: String,
        queue: String,
        confirmed: u64,
        count: u64,
        error: BrokerError,
    },
}

fn message_id(text: &str) -> Result<String, String> {
    match text.len() {
        1..=255 => Ok(text.to_owned()),
        _ => Err("a message_id has 1 to 255 bytes".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            #[expect(clippy::print_stderr, reason = "a program for the command line")]
            {
                eprintln!("send_test_message: {failure}");
            }
            ExitCode::from(if matches!(failure, Failure::Broker { .. }) {
                1
            } else {
                2
            })
        }
    }
}

async fn run(arguments: Arguments) -> Result<String, Failure> {
    let body = body(&arguments)?;
    let queue = Queue::of(&Config::load()?);
    let count = arguments.count;
    let failed = |confirmed, error| {
        let (broker, queue) = (queue.shown(), queue.name().to_owned());
        Failure::Broker {
            broker,
            queue,
            confirmed,
            count,
            error,
        }
    };
    let publisher = Publisher::new(&queue);
    publisher.ensure_queue().await.map_err(|e| failed(0, e))?;
    let bar = ProgressBar::new(count); // shows itself on a terminal only
    let id = || {
        arguments
            .message_id
            .clone()
            .unwrap_or_else(|| uuid::Uuid::new_v4().to_string())
    };
    let sent = stream::iter(0..count)
        .map(|_| async { publisher.publish(&body, &id()).await })
        .buffer_unordered(AT_ONCE)
        .try_for_each(|()| {
            bar.inc(1);
            std::future::ready(Ok(()))
        })
        .await;
    let confirmed = bar.position();
    bar.finish_and_clear();
    publisher.close().await;
    sent.map_err(|e| failed(confirmed, e))?;
    let s = if confirmed == 1 { "" } else { "s" };
    Ok(format!(
        "{confirmed} message{s} confirmed in {} at {}",
        queue.name(),
        queue.shown()
    ))
}

fn body(arguments: &Arguments) -> Result<Vec<u8>, Failure> {
    if let Some(path) = &arguments.json {
        let mut body = Vec::new();
        let read = if path.as_os_str() == "-" {
            std::io::stdin().lock().read_to_end(&mut body).map(|_| ())
        } else {
            std::fs::read(path).map(|bytes| body = bytes)
        };
        read.map_err(|e| Failure::Read(path.display().to_string(), e))?;
        return Ok(body);
    }
    let event_id = arguments.event_id.map(EventId::get);
    Ok(serde_json::json!({"type": arguments.kind, "event_id": event_id})
        .to_string()
        .into_bytes())
}
