//! A relay that throws e-mails away and counts: PIPELINING always, CHUNKING if wanted, and a delay that
//! stands for a network. The replies to whatever one read brought leave together, `delay` later, so a
//! pipelined group costs one round trip; the greeting costs two (handshake and banner).

mod clock;
mod session;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};

use self::clock::Clock;
use self::session::Session;

/// What the sink is like.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    /// One round trip.
    pub(crate) delay: Duration,
    /// Whether it offers CHUNKING (RFC 3030).
    pub(crate) chunking: bool,
    /// Where it stops to answer and keeps its connections.
    pub(crate) hang: Option<Hang>,
}

/// Where a sink hangs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hang {
    /// Before it has said anything.
    Greeting,
    /// At each final dot, after so many e-mails.
    Dot(u64),
}

/// What it has seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// E-mails taken.
    pub(crate) emails: u64,
    /// Recipients' addresses, as hashes.
    pub(crate) recipients: HashSet<u64>,
    /// Octets of e-mails.
    pub(crate) octets: u64,
    /// Connections, ever.
    pub(crate) connections: u64,
    /// Connections now, and at most.
    pub(crate) open: (u64, u64),
    /// Groups of replies: round trips.
    pub(crate) groups: u64,
    /// Commands out of order or unknown.
    pub(crate) errors: u64,
    /// It hangs.
    pub(crate) hangs: bool,
    /// The first and the last e-mail's arrival, by the domain of its recipient.
    pub(crate) arrivals: HashMap<String, (Instant, Instant)>,
}

impl Seen {
    /// As one line of JSON.
    pub(crate) fn json(&self) -> String {
        serde_json::json!({
            "emails": self.emails,
            "recipients": self.recipients.len(),
            "octets": self.octets,
            "connections": self.connections,
            "connections_at_once": self.open.1,
            "round_trips": self.groups,
            "errors": self.errors,
        })
        .to_string()
    }
}

/// A sink that listens, on a thread of its own.
#[derive(Debug, Clone)]
pub(crate) struct Sink {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Sink {
    /// Listens on `port` of 127.0.0.1, any if 0, until the process ends.
    pub(crate) fn start(port: u16, manner: Manner) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let seen = Arc::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let sink = Self { address, seen };
        let served = Arc::clone(&sink.seen);
        std::thread::Builder::new()
            .name("sink".into())
            .spawn(move || runtime.block_on(listen(listener, manner, served)))?;
        Ok(sink)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen until now.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen(listener: std::net::TcpListener, manner: Manner, seen: Arc<Mutex<Seen>>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let clock = Clock::start(manner.delay);
    while let Ok((stream, _)) = listener.accept().await {
        let (clock, seen) = (clock.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            {
                let mut seen = lock(&seen);
                seen.connections += 1;
                seen.open.0 += 1;
                seen.open.1 = seen.open.1.max(seen.open.0);
            }
            // A connection that breaks is the peer's affair.
            let _ = converse(stream, manner, &clock, &seen).await;
            lock(&seen).open.0 -= 1;
        });
    }
}

async fn converse(stream: TcpStream, manner: Manner, clock: &Clock, seen: &Mutex<Seen>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = Arc::new(stream);
    let mut session = Session::new(manner.chunking);
    let mut input = Vec::with_capacity(1 << 16);
    let mut replies = b"220 sink ESMTP\r\n".to_vec();
    let mut hops = 2;
    if matches!(manner.hang, Some(Hang::Greeting)) {
        return hang(&stream, seen).await;
    }
    loop {
        if !replies.is_empty() {
            lock(seen).groups += 1;
            clock.send(&stream, std::mem::take(&mut replies), hops).await?;
            hops = 1;
        }
        if session.is_over() {
            return Ok(());
        }
        stream.readable().await?;
        match stream.try_read_buf(&mut input) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        let (used, last) = {
            let mut seen = lock(seen);
            let before = seen.emails;
            let used = session.take(&input, &mut replies, &mut seen);
            (used, (seen.emails > before).then_some(seen.emails))
        };
        if let (Some(Hang::Dot(passed)), Some(last)) = (manner.hang, last)
            && last > passed
        {
            return hang(&stream, seen).await;
        }
        input.drain(..used);
        input.reserve(1 << 16);
    }
}

/// Takes what comes and says nothing any more.
async fn hang(stream: &TcpStream, seen: &Mutex<Seen>) -> io::Result<()> {
    lock(seen).hangs = true;
    let mut thrown_away = [0; 1 << 12];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut thrown_away) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
}
