//! Real SMTP servers of a test's own (`scripts/lib/relay`).

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::certs::Certs;
use super::until;
use super::worker::{Settings, free_port};

/// Whom each of them knows.
pub const USER: &str = "herald@example.com";
pub const PASSWORD: &str = "c0rrect horse";

const LIMIT: Duration = Duration::from_secs(30);
/// What servers put above an e-mail on delivery.
const TRACE: [&str; 5] = [
    "Return-Path:",
    "X-Original-To:",
    "Delivered-To:",
    "Received:",
    "\t",
];

/// A running server. It ends, and all that it has written goes, when dropped.
pub struct RealRelay {
    folder: TempDir,
    pub certs: Certs,
    pub port: u16,
    script: Child,
    /// The script ends when this does, also if the tests are killed.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl RealRelay {
    /// Of the named kind, without `keywords` in its reply to EHLO; once it accepts connections.
    pub async fn start(kind: &str, keywords: &str) -> Self {
        let (folder, certs, port) = (TempDir::new().unwrap(), Certs::make(), free_port());
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let output = File::create(folder.path().join("output.log")).unwrap();
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lib/relay"))
            .arg(kind)
            .arg(&data)
            .arg(port.to_string())
            .args([certs.path("server.pem"), certs.path("server.key")])
            .arg(keywords)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(output)
            .spawn()
            .unwrap();
        let orders = script.stdin.take();
        let answers = BufReader::new(script.stdout.take().unwrap());
        let mut relay = Self {
            folder,
            certs,
            port,
            script,
            orders,
            answers,
        };
        until(&format!("{kind} that listens"), LIMIT, async || {
            let ended = relay.script.try_wait().unwrap();
            assert_eq!(ended, None, "{kind} did not start: {}", relay.output());
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        relay
    }

    /// For a worker that mails to it, over TLS.
    pub fn settings(&self, settings: Settings) -> Settings {
        settings
            .set("EMAIL_DUMMY_MODE", false)
            .set("SMTP_HOST", "localhost")
            .set("SMTP_PORT", self.port)
            .set("SMTP_TLS_CA", self.certs.ca().display())
            .set("SMTP_USERNAME", USER)
            .set("SMTP_PASSWORD", PASSWORD)
    }

    /// Postfix's own log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Waits until it has delivered so many e-mails. All it has delivered, with LF line ends and without
    /// what it put above them, and how often each.
    pub async fn delivered(&mut self, count: usize) -> BTreeMap<Vec<u8>, usize> {
        let mail = self.path("mail/new");
        until(&format!("{count} delivered e-mails"), LIMIT, async || {
            (fs::read_dir(&mail).unwrap().count() >= count).then_some(())
        })
        .await;
        self.make_readable();
        let mut found = BTreeMap::new();
        for file in fs::read_dir(&mail).unwrap() {
            let email = fs::read(file.unwrap().path()).unwrap();
            *found.entry(untraced(&unix(&email))).or_default() += 1;
        }
        found
    }

    fn make_readable(&mut self) {
        self.orders.as_mut().unwrap().write_all(b"\n").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer, "readable\n");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }

    fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output.log")).unwrap_or_default()
    }
}

impl Drop for RealRelay {
    #[expect(clippy::print_stderr, reason = "that is where a test's output is looked for")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = ["log", "log/main", "log/reject", "log/panic"].map(|name| self.path(name));
            let log = log
                .map(|path| fs::read_to_string(path).unwrap_or_default())
                .concat();
            eprintln!("--- the relay wrote ---\n{}{log}--- end ---", self.output());
        }
        drop(self.orders.take());
        let _ = self.script.wait();
    }
}

/// With LF line ends. The dot stands after a line end, so there is always one at the end.
pub fn unix(email: &[u8]) -> Vec<u8> {
    String::from_utf8(email.to_vec())
        .unwrap()
        .replace("\r\n", "\n")
        .into_bytes()
}

fn untraced(email: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(email).unwrap();
    let lines = text.split_inclusive('\n');
    let own = lines.skip_while(|line| TRACE.iter().any(|trace| line.starts_with(trace)));
    own.collect::<String>().into_bytes()
}
