//! A way to an HTTP server that is in trouble while a test wants it: it answers for it, or not at all.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What becomes of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// They are passed on.
    Well,
    /// This status, and this body.
    Says(u16, &'static str),
    /// Nothing, ever.
    Hangs,
}

/// Ends, connections included, when dropped.
pub struct Trouble {
    port: u16,
    mood: watch::Sender<Mood>,
    task: JoinHandle<()>,
}

impl Drop for Trouble {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Trouble {
    /// In front of the HTTP server at `endpoint`.
    pub async fn before(endpoint: &str, mood: Mood) -> Self {
        let target = endpoint
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mood, seen) = watch::channel(mood);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let (target, mut seen) = (target.clone(), seen.clone());
                connections.spawn(async move {
                    let mood = *seen.borrow_and_update();
                    tokio::select! {
                        () = serve(near, &target, mood) => {}
                        _ = seen.changed() => {}
                    }
                });
            }
        });
        Self { port, mood, task }
    }

    /// Connections that are there break.
    pub fn turn(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

async fn serve(mut near: TcpStream, target: &str, mood: Mood) {
    match mood {
        Mood::Well => {
            let mut far = TcpStream::connect(target).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
        Mood::Says(status, body) => {
            // The answer comes when something was asked, whatever of it is still on its way.
            let mut asked = vec![0; 64 * 1024];
            let _ = near.read(&mut asked).await;
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} So\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = near.write_all(head.as_bytes()).await;
            let _ = near.write_all(body.as_bytes()).await;
            let _ = near.shutdown().await;
            while near.read(&mut asked).await.is_ok_and(|n| n > 0) {}
        }
        Mood::Hangs => std::future::pending().await,
    }
}
