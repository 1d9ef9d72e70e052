//! A server in Slack's place: records what is posted, holds it to Slack's published limits, and misbehaves
//! on demand.
//!
//! Without a script it answers `ok`, or 400 with Slack's word for what is wrong with a payload.

mod exchange;
mod limits;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub use limits::{Violation, check};

/// A request, as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// From 1, in the order of coming.
    pub number: usize,
    /// From 1, in the order of connecting.
    pub connection: usize,
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Null if it is no JSON.
    pub payload: Value,
    /// What Slack would refuse it for.
    pub violation: Option<Violation>,
    pub at: Instant,
}

impl Request {
    /// The value of a header, its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What happens instead of the usual; the request is recorded all the same.
#[derive(Debug, Clone)]
pub enum Action {
    Answer(Answer),
    /// No answer, the connection is closed.
    Close,
    /// No answer ever; the connection stays open.
    Hang,
    /// Waits, then the usual.
    Delay(Duration),
}

/// An answer in place of the usual one.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Answer {
    pub fn new(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts read better so")]
    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

type Script = Box<dyn Fn(&Request) -> Option<Action> + Send + Sync>;

/// What a server does.
#[derive(Default)]
pub struct Options {
    /// Https instead of http.
    pub tls: Option<TlsAcceptor>,
    /// Asked at each request; `None` = the usual.
    pub script: Option<Script>,
}

impl Options {
    /// With a script.
    pub fn script(mut self, script: impl Fn(&Request) -> Option<Action> + Send + Sync + 'static) -> Self {
        self.script = Some(Box::new(script));
        self
    }
}

#[derive(Default)]
struct Records {
    connections: usize,
    requests: Vec<Request>,
}

struct Shared {
    options: Options,
    records: Mutex<Records>,
    changed: Notify,
}

impl Shared {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().expect("no panic while recording")
    }
}

/// A running server; it ends, connections included, when dropped.
pub struct SlackServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for SlackServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SlackServer {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            options,
            records: Mutex::default(),
            changed: Notify::new(),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { addr, shared, task }
    }

    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// A webhook here, such as for `/services/T0/B0/x`. The host is `localhost` with TLS, as in the
    /// certificates of the tests, and an address without.
    pub fn url(&self, path: &str) -> String {
        match self.shared.options.tls {
            Some(_) => format!("https://localhost:{}{path}", self.port()),
            None => format!("http://127.0.0.1:{}{path}", self.port()),
        }
    }

    /// All requests, in the order of coming.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.records().requests.clone()
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.shared.records().connections
    }

    /// Waits until `count` requests came, or panics after `limit`.
    pub async fn wait_for(&self, count: usize, limit: Duration) -> Vec<Request> {
        let enough = async {
            loop {
                let changed = self.shared.changed.notified();
                if self.shared.records().requests.len() >= count {
                    return;
                }
                changed.await;
            }
        };
        let in_time = tokio::time::timeout(limit, enough).await.is_ok();
        let requests = self.requests();
        assert!(in_time, "{} of {count} requests after {limit:?}", requests.len());
        requests
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((tcp, _)) = accepted else { continue };
                let number = {
                    let mut records = shared.records();
                    records.connections += 1;
                    records.connections
                };
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    // A connection's end is no failure of the server's.
                    let _ = match &shared.options.tls {
                        None => exchange::run(tcp, number, &shared).await,
                        Some(tls) => match tls.accept(tcp).await {
                            Ok(tls) => exchange::run(tls, number, &shared).await,
                            Err(error) => Err(error),
                        },
                    };
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
