//! A TCP proxy that appears when told to, and whose connections can fall silent.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A free port on the loopback interface, nobody listening, that no connection will be given meanwhile.
pub fn free_port() -> u16 {
    super::worker::free_port()
}

/// Forwards a port for as long as it lives; then its connections break.
pub struct Proxy {
    silence: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Forwards `port` to `target` from now on.
    pub async fn start(port: u16, target: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let (silence, silenced) = watch::channel(());
        let task = tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let (target, mut silenced) = (target.clone(), silenced.clone());
                silenced.mark_unchanged();
                connections.spawn(async move {
                    let mut far = TcpStream::connect(target).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                        _ = silenced.changed() => {}
                    }
                    std::future::pending::<()>().await;
                });
            }
        });
        Self { silence, task }
    }

    /// From now on the connections there are stay open without a byte; new ones are forwarded.
    pub fn silence(&self) {
        self.silence.send_replace(());
    }

    /// Breaks the connections and refuses new ones; returns when that is so.
    pub async fn cut(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}
