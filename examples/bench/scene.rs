//! One worker with a queue, a ledger and a sink of its own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::Fallible;
use crate::ledger::{Kind, Ledger};
use crate::options::Options;
use crate::queue::Queue;
use crate::sink::{Manner, Sink};
use crate::worker::{self, Worker};

/// The event with the many.
pub(crate) const EVENT: i64 = 123;

/// How long a start may take.
const START: Duration = Duration::from_mins(1);

/// How long a whole measurement may take.
const LIMIT: Duration = Duration::from_mins(15);

/// What `scripts/bench` has started.
pub(crate) struct Servers {
    pub(crate) amqp: String,
    pub(crate) api: String,
    pub(crate) postgres: Option<String>,
    pub(crate) work: PathBuf,
    /// Their process groups.
    pub(crate) groups: Vec<u32>,
}

impl Servers {
    pub(crate) fn from_environment() -> Fallible<Self> {
        let variable = |name: &str| {
            std::env::var(name).map_err(|_| format!("{name} is not set: run scripts/bench instead"))
        };
        Ok(Self {
            amqp: variable("HERALD_BENCH_AMQP")?,
            api: variable("HERALD_BENCH_AMQP_API")?,
            postgres: variable("HERALD_BENCH_POSTGRES").ok(),
            work: variable("HERALD_BENCH_WORK")?.into(),
            groups: variable("HERALD_BENCH_GROUPS")?
                .split_ascii_whitespace()
                .map(str::parse)
                .collect::<Result<_, _>>()?,
        })
    }

    /// The folder of tenants' folders.
    pub(crate) fn configs(&self) -> PathBuf {
        self.work.join("configs")
    }
}

/// An idle worker.
pub(crate) struct Scene {
    pub(crate) queue: Queue,
    pub(crate) ledger: Ledger,
    pub(crate) sink: Sink,
    pub(crate) worker: Worker,
    /// Of its HTTP API.
    pub(crate) port: Option<u16>,
    end: Instant,
}

impl Scene {
    /// A worker that waits for messages; `small` events of ten participants stand beside the large one.
    pub(crate) async fn start(
        servers: &Servers,
        options: &Options,
        kind: Kind,
        manner: Manner,
        participants: u64,
        small: impl Iterator<Item = i64>,
    ) -> Fallible<Self> {
        let name = "herald_bench";
        let queue = Queue::declare(servers, name).await?;
        let ledger = Ledger::create(servers, kind, name)?;
        let sink = Sink::start(0, manner)?;
        let mut environment = environment(servers, options, &ledger, &sink, name)?;
        let port = options.operators.then(free_port).transpose()?;
        if let Some(port) = port {
            environment.push(("HTTP_ADDR".into(), format!("127.0.0.1:{port}")));
        }
        worker::run("herald", &["migrate"], &environment)?;
        let (event, number) = (EVENT.to_string(), participants.to_string());
        let add = ["--event-id", &event, "--participants", &number];
        worker::run("add_test_data", &add, &environment)?;
        for event in small {
            ledger.add_event(event, 10).await?;
        }
        let mut worker = Worker::start(&environment, &servers.work.join("worker.log"))?;
        let end = Instant::now() + START;
        while !queue.has_consumer().await? {
            worker.check()?;
            if Instant::now() > end {
                return Err(format!("the worker takes no messages:\n{}", worker.last_lines()).into());
            }
            sleep(Duration::from_millis(50)).await;
        }
        sleep(Duration::from_millis(500)).await;
        let end = Instant::now() + LIMIT;
        Ok(Self {
            queue,
            ledger,
            sink,
            worker,
            port,
            end,
        })
    }

    /// One step of waiting; an error once it takes too long or the worker is gone.
    pub(crate) async fn wait(&mut self, step: Duration) -> Fallible<()> {
        self.worker.check()?;
        if Instant::now() > self.end {
            let (seen, lines) = (self.sink.seen().json(), self.worker.last_lines());
            return Err(format!("not done after {LIMIT:?}: {seen}\n{lines}").into());
        }
        sleep(step).await;
        Ok(())
    }

    /// Until so many e-mails have come, they are recorded, and the queue is empty.
    pub(crate) async fn settle(&mut self, emails: u64) -> Fallible<()> {
        while self.sink.seen().emails < emails {
            self.wait(Duration::from_millis(5)).await?;
        }
        while self.ledger.rows().await?.0 < emails {
            self.wait(Duration::from_millis(5)).await?;
        }
        while !self.queue.is_empty().await? {
            self.wait(Duration::from_millis(5)).await?;
        }
        Ok(())
    }

    /// Ends the worker; an error unless there were exactly so many e-mails to so many recipients, recorded
    /// as sent, without a fault, and the message is gone.
    pub(crate) async fn end(self, emails: u64, recipients: u64) -> Fallible<()> {
        // A late copy would show now.
        sleep(Duration::from_millis(300)).await;
        let (ledger, sink) = (self.ledger.clone(), self.sink.clone());
        let left = self.close().await?;
        let rows = ledger.rows().await?;
        let seen = sink.seen().clone();
        let told = u64::try_from(seen.recipients.len())?;
        if (seen.emails, told, seen.errors, left) == (emails, recipients, 0, 0) && rows == (emails, emails) {
            return Ok(());
        }
        Err(format!(
            "expected {emails} e-mails to {recipients} recipients; sink {}; ledger {} of {} rows sent; {left} messages left",
            seen.json(),
            rows.0,
            rows.1,
        )
        .into())
    }

    /// Ends the worker, whatever there was left to do; how many messages are left.
    pub(crate) async fn close(self) -> Fallible<u32> {
        self.worker.stop().await?;
        let left = self.queue.left().await?;
        self.queue.delete().await?;
        Ok(left)
    }
}

fn environment(
    servers: &Servers,
    options: &Options,
    ledger: &Ledger,
    sink: &Sink,
    queue: &str,
) -> Fallible<Vec<(String, String)>> {
    let port = sink.address().port().to_string();
    let configs = servers.configs().join("notifications").display().to_string();
    let connections = options.connections.to_string();
    let mut environment: Vec<(String, String)> = [
        ("LAVINMQ_URL", servers.amqp.as_str()),
        ("LAVINMQ_QUEUE", queue),
        ("DATABASE_URL", &ledger.url),
        ("EMAIL_DUMMY_MODE", "false"),
        ("SMTP_HOST", "127.0.0.1"),
        ("SMTP_PORT", &port),
        ("SMTP_USE_TLS", "false"),
        ("SMTP_CONNECTIONS", &connections),
        ("FROM_EMAIL", "notifications@example.com"),
        ("NOTIFICATIONS_CONFIG_PATH", &configs),
        // What hangs is not waited for at the end.
        ("SHUTDOWN_GRACE", "2s"),
        ("HTTP_ADDR", ""),
        ("LOG_FILE", ""),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for pair in &options.env {
        let (name, value) = pair.split_once('=').ok_or("--env takes NAME=VALUE")?;
        environment.retain(|(known, _)| known != name);
        environment.push((name.to_owned(), value.to_owned()));
    }
    Ok(environment)
}

/// One that nobody listens on now.
fn free_port() -> std::io::Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}
