//! A host of files over https, which misbehaves on demand and counts what it is asked for.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::certs::Certs;

/// What is said for a path.
#[derive(Debug, Clone)]
pub enum Reply {
    /// 200 with this.
    File(Vec<u8>),
    /// The same without saying how long it is.
    Endless(Vec<u8>),
    /// Only this status.
    Status(u16),
    /// 302 to there.
    Redirect(String),
    /// Less than was announced.
    CutOff(Vec<u8>),
    /// None ever.
    Hang,
}

#[derive(Default)]
struct State {
    replies: BTreeMap<String, Reply>,
    asked: BTreeMap<String, usize>,
}

/// A running host; it ends when dropped.
pub struct FileHost {
    port: u16,
    state: Arc<Mutex<State>>,
    certs: Certs,
    task: JoinHandle<()>,
}

impl Drop for FileHost {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FileHost {
    /// On a free port of 127.0.0.1, with a certificate for `localhost`.
    pub async fn start() -> Self {
        Self::named("DNS:localhost").await
    }

    /// The same with a certificate for other names (`subjectAltName`).
    pub async fn named(names: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let certs = Certs::make_for(names);
        let (acceptor, state) = (certs.acceptor(), Arc::<Mutex<State>>::default());
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let _ = answer(stream, &state).await;
                    }
                });
            }
        });
        Self {
            port,
            state,
            certs,
            task,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Says this for `path` from now on.
    pub fn put(&self, path: &str, reply: Reply) {
        self.state().replies.insert(path.to_owned(), reply);
    }

    /// How often it was asked for `path`, with its query.
    pub fn asked(&self, path: &str) -> usize {
        self.state().asked.get(path).copied().unwrap_or(0)
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// Its authority's certificate.
    pub fn ca(&self) -> std::path::PathBuf {
        self.certs.ca()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no panic while answering")
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, state: &Mutex<State>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first).await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let target = first.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let reply = {
        let mut state = lock(state);
        *state.asked.entry(target.to_owned()).or_default() += 1;
        state.replies.get(path).cloned().unwrap_or(Reply::Status(404))
    };
    let (head, body) = match reply {
        Reply::File(body) => (format!("200 OK\r\nContent-Length: {}", body.len()), body),
        Reply::Endless(body) => ("200 OK".to_owned(), body),
        Reply::CutOff(body) => (format!("200 OK\r\nContent-Length: {}", body.len() + 1), body),
        Reply::Status(status) => (format!("{status} So\r\nContent-Length: 0"), Vec::new()),
        Reply::Redirect(to) => (
            format!("302 There\r\nContent-Length: 0\r\nLocation: {to}"),
            Vec::new(),
        ),
        Reply::Hang => std::future::pending().await,
    };
    let head = format!("HTTP/1.1 {head}\r\nContent-Type: application/x-test\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}
