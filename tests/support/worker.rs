//! The program itself, as a child process: `herald run` with an environment of its own.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use reqwest::Response;
use serde_json::Value;
use tempfile::TempDir;

use super::database::TestDatabase;
use super::rabbit::{self, Rabbit};
use super::smtp::SmtpServer;
use super::until;

/// For a start, or for an answer.
const LIMIT: Duration = Duration::from_secs(30);

/// The environment of a worker; workers started from the same settings share queue and database.
#[derive(Clone)]
pub struct Settings(Vec<(String, String)>);

impl Settings {
    /// Dummy mode, no log file; what is not said here has its default.
    pub fn new(database: &TestDatabase, rabbit: &Rabbit) -> Self {
        Self(Vec::new())
            .set("DATABASE_URL", database.url())
            .set("LAVINMQ_URL", rabbit.url())
            .set("LAVINMQ_QUEUE", &rabbit.broker.queue)
            .set("LOG_FILE", "")
    }

    /// The same without a queue.
    pub fn bare(database: &TestDatabase) -> Self {
        Self(Vec::new())
            .set("DATABASE_URL", database.url())
            .set("LOG_FILE", "")
    }

    /// Real e-mails, in plain text, to this server.
    pub fn relay(self, server: &SmtpServer) -> Self {
        self.set("EMAIL_DUMMY_MODE", false)
            .set("SMTP_HOST", "127.0.0.1")
            .set("SMTP_PORT", server.port())
            .set("SMTP_USE_TLS", false)
    }

    /// Sets a variable; the last one wins.
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts read better so")]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.0.push((name.to_owned(), value.to_string()));
        self
    }

    /// Starts a worker, without waiting for it.
    pub fn spawn(&self) -> Worker {
        let folder = TempDir::new().unwrap();
        let log = folder.path().join("output.log");
        let output = File::create(&log).unwrap();
        let port = free_port();
        let child = Command::new(env!("CARGO_BIN_EXE_herald"))
            .arg("run")
            .current_dir(folder.path())
            .env_clear()
            .env("HTTP_ADDR", format!("127.0.0.1:{port}"))
            .envs(self.0.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Worker {
            child,
            port,
            log,
            _folder: folder,
        }
    }

    /// Starts a worker and waits until it is healthy.
    pub async fn start(&self) -> Worker {
        let mut worker = self.spawn();
        worker.wait_healthy().await;
        worker
    }
}

/// A running worker. It is killed when dropped; what it wrote is shown if the test fails.
pub struct Worker {
    child: Child,
    port: u16,
    log: PathBuf,
    _folder: TempDir,
}

impl Worker {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its peak memory (`VmHWM`) in MB; 0 when it has ended.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:") / 1024
    }

    /// Its memory now (`VmRSS`) in kB; 0 when it has ended.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
        number.unwrap_or(0)
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// Asks its HTTP API.
    pub async fn get(&self, path: &str) -> Response {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        rabbit::within(reqwest::get(url)).await.unwrap()
    }

    /// Asks for JSON.
    pub async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    }

    /// Posts JSON to its HTTP API.
    pub async fn post(&self, path: &str, body: &Value) -> Response {
        let request = reqwest::Client::new().post(self.url(path)).json(body);
        rabbit::within(request.send()).await.unwrap()
    }

    /// Posts nothing to its HTTP API.
    pub async fn post_nothing(&self, path: &str) -> Response {
        let request = reqwest::Client::new().post(self.url(path));
        rabbit::within(request.send()).await.unwrap()
    }

    /// The address of its HTTP API.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Waits until broker and database are there.
    pub async fn wait_healthy(&mut self) {
        let url = self.url("/health");
        until("a healthy worker", LIMIT, async || {
            assert_eq!(self.child.try_wait().unwrap(), None, "the worker ended");
            let answer = reqwest::get(&url).await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// SIGKILL; returns when the process is gone.
    pub fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, without waiting.
    pub fn sigterm(&self) {
        self.signal("TERM");
    }

    /// Any signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        let pid = self.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(status.success(), "kill -s {name} {pid}");
    }

    /// Whether it is gone.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub async fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        until("the worker's end", limit, async || self.child.try_wait().unwrap()).await
    }

    /// Stops it as an operator does, and checks that it says nothing went wrong.
    pub async fn stop(mut self) {
        self.sigterm();
        let status = self.wait_exit(LIMIT).await;
        assert_eq!(status.code(), Some(0), "after SIGTERM");
        assert!(!self.log().contains("panicked"), "a panic is in the log");
    }
}

impl Drop for Worker {
    #[expect(clippy::print_stderr, reason = "that is where a test's output is looked for")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the worker wrote ---\n{}--- end ---", self.log());
        }
    }
}

/// A port that nobody listens on and no other test of this process was given, below those that the
/// system gives to connections. The first one is random, as other processes may look for some as well.
pub(super) fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
        let random = u16::from_le_bytes(*uuid::Uuid::new_v4().as_bytes().first_chunk().unwrap());
        AtomicU16::new(random)
    });
    loop {
        let port = 10_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 10_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
