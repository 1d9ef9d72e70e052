//! A PostgreSQL server of one test's own, which may be stopped, killed, frozen and told a wrong time.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use diesel::{Connection as _, PgConnection};
use tempfile::TempDir;

use super::{proxy, until};

/// For a start, recovery included, or an end.
const LIMIT: Duration = Duration::from_mins(1);

/// Durable, as a user's is: what it confirmed is on the disk. It ends when dropped.
pub struct Postgres {
    folder: TempDir,
    port: u16,
    environment: Vec<(&'static str, String)>,
    postmaster: Option<Child>,
}

impl Postgres {
    /// A fresh cluster that serves.
    pub async fn start() -> Self {
        Self::start_with(Vec::new()).await
    }

    /// The same with variables in its environment.
    pub async fn start_with(environment: Vec<(&'static str, String)>) -> Self {
        let folder = TempDir::new().unwrap();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        run(unprivileged(program("initdb"))
            .arg("-D")
            .arg(folder.path().join("data"))
            .args([
                "-U",
                "herald",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale",
                "C.UTF-8",
                "--no-sync",
            ]));
        let mut server = Self {
            folder,
            port: proxy::free_port(),
            environment,
            postmaster: None,
        };
        server.serve().await;
        server
    }

    /// Starts it (again) and waits until it serves.
    pub async fn serve(&mut self) {
        assert!(self.postmaster.is_none(), "it runs");
        let url = self.url("postgres");
        until("PostgreSQL serves", LIMIT, async || {
            // After a kill its old processes may still be about: then the new one ends at once.
            let gone = match &mut self.postmaster {
                Some(child) => child.try_wait().unwrap().is_some(),
                None => true,
            };
            if gone {
                self.postmaster = Some(self.spawn());
            }
            let url = url.clone();
            let connected = tokio::task::spawn_blocking(move || PgConnection::establish(&url).is_ok());
            connected.await.unwrap().then_some(())
        })
        .await;
    }

    fn spawn(&self) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        unprivileged("env".into())
            // Only for the server itself.
            .args(
                self.environment
                    .iter()
                    .map(|(name, value)| format!("{name}={value}")),
            )
            .arg(program("postgres"))
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args(["-p", &self.port.to_string()])
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ])
            .args(["-c", "max_connections=40", "-c", "shared_buffers=16MB"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// For Diesel and for `DATABASE_URL`.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://herald:herald@127.0.0.1:{}/{database}", self.port)
    }

    /// Sends the postmaster a signal (INT: fast shutdown, QUIT: immediate, KILL) and waits for its end.
    pub async fn end(&mut self, signal_name: &str) {
        let mut child = self.postmaster.take().expect("it runs");
        signal(signal_name, &[child.id()]);
        until("PostgreSQL's end", LIMIT, async || child.try_wait().unwrap()).await;
    }

    /// STOP or CONT to all its processes: connections hang instead of being refused.
    pub fn signal_all(&self, name: &str) {
        let postmaster = self.postmaster.as_ref().expect("it runs").id();
        // First the one that starts others.
        signal(name, &[postmaster]);
        signal(name, &children(postmaster));
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut child) = self.postmaster.take() {
            self.postmaster = None;
            signal("CONT", &children(child.id()));
            signal("CONT", &[child.id()]);
            signal("QUIT", &[child.id()]);
            let _ = child.wait();
        }
    }
}

/// A process that has ended meanwhile is none to signal.
fn signal(name: &str, pids: &[u32]) {
    if !pids.is_empty() {
        let pids = pids.iter().map(u32::to_string);
        let _ = Command::new("kill").args(["-s", name]).args(pids).output();
    }
}

/// Processes whose parent is `pid`.
fn children(pid: u32) -> Vec<u32> {
    let parent = |of: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{of}/stat")).ok()?;
        // Behind the name, which is in parentheses: state, parent.
        stat.rsplit_once(')')?
            .1
            .split_whitespace()
            .nth(1)?
            .parse::<u32>()
            .ok()
    };
    let all = std::fs::read_dir("/proc").unwrap();
    all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&of| parent(of) == Some(pid))
        .collect()
}

/// The newest installed one.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL: see scripts/test");
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            let path = entry.path().join("bin").join(name);
            path.exists().then_some((version, path))
        })
        .collect();
    found.sort();
    found.pop().expect("a PostgreSQL server: see scripts/test").1
}

/// PostgreSQL refuses to run as root.
fn unprivileged(program: PathBuf) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid",
        "postgres",
        "--regid",
        "postgres",
        "--init-groups",
        "--",
    ]);
    command.arg(program);
    command
}

/// Whether these tests run as root.
pub(super) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {done:?}");
}
