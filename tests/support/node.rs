//! A RabbitMQ node of a test's own, which may be stopped, killed and started again with what it kept.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use url::Url;

use super::until;
use super::worker::free_port;

const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// For a start or an end, on a machine that has other things to do.
const LIMIT: Duration = Duration::from_mins(2);

/// A node with a name, a cookie, ports and an epmd of its own, without plugins. It is killed when dropped;
/// what it wrote is shown if the test fails.
pub struct Node {
    folder: TempDir,
    port: u16,
    environment: Vec<(&'static str, String)>,
    epmd: Child,
    server: Child,
}

impl Node {
    /// Starts one without waiting for it. `arguments` are further ones of the Erlang machine, such as
    /// `-rabbit consumer_timeout 2000`.
    pub fn start(arguments: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let (port, distribution, epmd) = (free_port(), free_port(), free_port());
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let configuration = format!("listeners.tcp.1 = 127.0.0.1:{port}\ndisk_free_limit.absolute = 50MB\n");
        fs::write(path("rabbitmq.conf"), configuration).unwrap();
        fs::write(path("enabled_plugins"), "[].").unwrap();
        fs::write(path("rabbitmq-env.conf"), "").unwrap();
        // `+sbwt none`: an idle node takes nothing from the tests beside it.
        let arguments = format!("-kernel inet_dist_use_interface {{127,0,0,1}} +sbwt none {arguments}");
        let environment = vec![
            ("HOME", path("")),
            ("PATH", std::env::var("PATH").unwrap()),
            ("ERL_EPMD_PORT", epmd.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODENAME", format!("herald-{port}@localhost")),
            ("RABBITMQ_DIST_PORT", distribution.to_string()),
            ("RABBITMQ_CONF_ENV_FILE", path("rabbitmq-env.conf")),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins")),
            ("RABBITMQ_MNESIA_BASE", path("data")),
            ("RABBITMQ_LOG_BASE", path("log")),
            ("RABBITMQ_PID_FILE", path("pid")),
            ("RABBITMQ_GENERATED_CONFIG_DIR", path("generated")),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", arguments),
            // The shell script then becomes the server, so that its number is the server's.
            ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
        ];
        let epmd = start("epmd", folder.path(), &environment);
        let server = start(SERVER, folder.path(), &environment);
        Self {
            folder,
            port,
            environment,
            epmd,
            server,
        }
    }

    pub fn url(&self) -> Url {
        let text = format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port);
        text.parse().unwrap()
    }

    /// Ends it in order.
    pub async fn stop(&mut self) {
        let pid = self.server.id().to_string();
        let status = Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap();
        assert!(status.success(), "kill {pid}");
        until("the node's end", LIMIT, async || self.server.try_wait().unwrap()).await;
    }

    /// SIGKILL; returns when the process is gone.
    pub fn kill9(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// Starts it again after its end, without waiting for it.
    pub fn start_again(&mut self) {
        self.server = start(SERVER, self.folder.path(), &self.environment);
    }
}

/// A process that does not outlive this thread, should the test be killed.
fn start(program: &str, folder: &Path, environment: &[(&'static str, String)]) -> Child {
    let log = folder.join("output.log");
    let output = File::options().create(true).append(true).open(log).unwrap();
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", program])
        .current_dir(folder)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap()
}

impl Drop for Node {
    #[expect(clippy::print_stderr, reason = "that is where a test's output is looked for")]
    fn drop(&mut self) {
        for process in [&mut self.server, &mut self.epmd] {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = fs::read(self.folder.path().join("output.log")).unwrap_or_default();
            let log = String::from_utf8_lossy(&log).into_owned();
            eprintln!("--- the node wrote ---\n{log}--- end ---");
        }
    }
}
