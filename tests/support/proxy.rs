//! A TCP proxy that appears when told to, and whose connections can fall silent.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A free port on the loopback interface, nobody listening.
pub async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// Forwards a port for as long as it lives.
pub struct Proxy(watch::Sender<()>);

impl Proxy {
    /// Forwards `port` to `target` from now on.
    pub async fn start(port: u16, target: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let (silence, silenced) = watch::channel(());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (target, mut silenced) = (target.clone(), silenced.clone());
                silenced.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(target).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                        _ = silenced.changed() => {}
                    }
                    std::future::pending::<()>().await;
                });
            }
        });
        Self(silence)
    }

    /// From now on the connections there are stay open without a byte; new ones are forwarded.
    pub fn silence(&self) {
        self.0.send_replace(());
    }
}
