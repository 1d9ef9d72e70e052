//! The programs that answer and end, as child processes with an environment of their own.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::fmt::Display;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A working directory and an environment for commands.
pub struct Shell {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Checks the exit code and gives standard output.
    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.out
    }

    /// Both outputs.
    pub fn all(&self) -> String {
        format!("{}\n{}", self.out, self.err)
    }
}

impl Shell {
    /// No variable but `LOG_FILE=`.
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self {
            folder,
            variables: Vec::new(),
        }
        .set("LOG_FILE", "")
    }

    /// Sets a variable; the last one wins.
    pub fn set(mut self, name: &str, value: impl Display) -> Self {
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    /// The working directory.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `herald` with these arguments.
    pub async fn herald(&self, arguments: &[&str]) -> Said {
        self.run(env!("CARGO_BIN_EXE_herald"), arguments, b"").await
    }

    /// The same with something on standard input.
    pub async fn herald_reading(&self, arguments: &[&str], input: &[u8]) -> Said {
        self.run(env!("CARGO_BIN_EXE_herald"), arguments, input).await
    }

    pub async fn add_test_data(&self, arguments: &[&str]) -> Said {
        self.run(env!("CARGO_BIN_EXE_add_test_data"), arguments, b"")
            .await
    }

    pub async fn send_test_message(&self, arguments: &[&str]) -> Said {
        self.run(env!("CARGO_BIN_EXE_send_test_message"), arguments, b"")
            .await
    }

    /// Starts `herald` with these arguments.
    pub fn start(&self, arguments: &[&str]) -> Started {
        self.spawn(env!("CARGO_BIN_EXE_herald"), arguments, b"")
    }

    async fn run(&self, program: &str, arguments: &[&str], input: &[u8]) -> Said {
        self.spawn(program, arguments, input).said().await
    }

    fn spawn(&self, program: &str, arguments: &[&str], input: &[u8]) -> Started {
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(self.folder())
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        // Who does not read it has not asked for it.
        std::thread::spawn(move || stdin.write_all(&input));
        Started(child)
    }
}

/// A command under way.
pub struct Started(Child);

impl Started {
    /// SIGKILL, without waiting.
    pub fn kill9(&mut self) {
        self.0.kill().unwrap();
    }

    pub fn sigterm(&self) {
        let pid = self.0.id().to_string();
        let status = Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap();
        assert!(status.success(), "kill {pid}");
    }

    /// Waits for its end on a thread of its own, so that the servers of the test go on meanwhile.
    pub async fn said(self) -> Said {
        let output = tokio::task::spawn_blocking(move || self.0.wait_with_output().unwrap())
            .await
            .unwrap();
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
