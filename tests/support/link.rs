//! A way to the broker that can break or fall silent, and be whole again afterwards.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Forwards a port of its own for as long as it lives; then its connections break.
pub struct Link {
    port: u16,
    held: watch::Sender<bool>,
    resets: watch::Sender<()>,
    open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection counts as open for as long as this lives.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Link {
    /// To `target` of the loopback interface, by way of a free port.
    pub async fn start(target: u16) -> Self {
        Self::at(super::proxy::free_port(), target).await
    }

    /// By way of this port.
    pub async fn at(port: u16, target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let (held, resets) = (watch::Sender::new(false), watch::Sender::new(()));
        let open = Arc::new(AtomicUsize::new(0));
        let (silence, reset, count) = (held.subscribe(), resets.subscribe(), Arc::clone(&open));
        let task = tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                count.fetch_add(1, Ordering::SeqCst);
                let (silence, mut reset) = (silence.clone(), reset.clone());
                reset.mark_unchanged();
                connections.spawn(connection(near, target, silence, reset, Open(Arc::clone(&count))));
            }
        });
        Self {
            port,
            held,
            resets,
            open,
            task,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on no byte passes, in no direction and on no connection, new ones included: a black hole,
    /// as a network makes it that loses every packet. Nobody is told.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Lets the bytes pass again, those held up first, as TCP would send them anew.
    pub fn release(&self) {
        self.held.send_replace(false);
    }

    /// Resets all connections; says how many there were.
    pub fn reset(&self) -> usize {
        let open = self.open.load(Ordering::SeqCst);
        self.resets.send_replace(());
        open
    }
}

async fn connection(
    near: TcpStream,
    target: u16,
    mut held: watch::Receiver<bool>,
    mut reset: watch::Receiver<()>,
    _open: Open,
) {
    if held.wait_for(|held| !held).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else {
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (mut near, mut far) = (near, far);
    let broken = {
        let ((from_near, to_near), (from_far, to_far)) = (near.split(), far.split());
        // The end of one direction is the end of both.
        tokio::select! {
            _ = pump(from_near, to_far, held.clone()) => false,
            _ = pump(from_far, to_near, held) => false,
            _ = reset.changed() => true,
        }
    };
    if broken {
        let _ = (near.set_zero_linger(), far.set_zero_linger());
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut held: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = from.read(&mut buffer).await;
        // An end is held up like everything else.
        if held.wait_for(|held| !held).await.is_err() {
            return Ok(());
        }
        match count? {
            0 => return Ok(()),
            count => to.write_all(&buffer[..count]).await?,
        }
    }
}
