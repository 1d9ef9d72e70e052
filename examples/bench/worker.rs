//! `herald run` as a process.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Fallible;

/// How long it may take to end.
const GRACE: Duration = Duration::from_secs(20);

pub(crate) struct Worker {
    child: Child,
    log: PathBuf,
}

/// A program that was built with this one, in an environment of its own; ended when this one ends.
fn command(program: &str, environment: &[(String, String)]) -> Fallible<Command> {
    let here = std::env::current_exe()?;
    let folder = here
        .parent()
        .and_then(Path::parent)
        .ok_or("no folder of programs")?;
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", "--"])
        .arg(folder.join(program));
    command.env_clear().envs(environment.iter().cloned());
    command.stdin(Stdio::null());
    Ok(command)
}

/// Runs one of Herald's programs to its end.
pub(crate) fn run(program: &str, arguments: &[&str], environment: &[(String, String)]) -> Fallible<()> {
    let output = command(program, environment)?.args(arguments).output()?;
    if !output.status.success() {
        return Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(())
}

impl Worker {
    pub(crate) fn start(environment: &[(String, String)], log: &Path) -> Fallible<Self> {
        let output = File::create(log)?;
        let child = command("herald", environment)?
            .arg("run")
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()?;
        let log = log.to_owned();
        Ok(Self { child, log })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error with its last lines if it is gone.
    pub(crate) fn check(&mut self) -> Fallible<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("the worker ended ({status}):\n{}", self.last_lines()).into()),
        }
    }

    pub(crate) fn last_lines(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// Ends it in peace.
    pub(crate) async fn stop(mut self) -> Fallible<()> {
        Command::new("kill")
            .args(["-TERM", &self.pid().to_string()])
            .status()?;
        let end = Instant::now() + GRACE;
        while Instant::now() < end {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("the worker ended ({status})").into()),
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        Err("the worker did not end".into())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It may have ended this moment.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
