//! Looks over a worker's shoulder: an AMQP proxy that knows which message each ack is for and asks about it
//! before it lets the ack pass, and a sampler that sees whether a `sent` row ever changes.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::database::Observer;

/// How often the ledger is sampled.
const EVERY: Duration = Duration::from_millis(150);

/// An observer of one database's workers. Ends when dropped.
pub struct Watch {
    port: u16,
    seen: Arc<Seen>,
    tasks: Vec<JoinHandle<()>>,
}

struct Seen {
    ledger: Observer,
    acks: AtomicUsize,
    /// Of each connection that may still be there.
    connections: Mutex<Vec<Weak<Mutex<Deliveries>>>>,
    acked: Mutex<BTreeSet<String>>,
    wrong: Mutex<Vec<String>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Watch {
    /// Forwards a port of its own to the broker at `target` (host and port).
    pub async fn start(target: String, ledger: Observer) -> Self {
        let port = super::proxy::free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let seen = Arc::new(Seen {
            ledger,
            acks: AtomicUsize::new(0),
            connections: Mutex::default(),
            acked: Mutex::default(),
            wrong: Mutex::default(),
        });
        let forward = tokio::spawn(forward(listener, target, Arc::clone(&seen)));
        let sample = tokio::spawn(sample(Arc::clone(&seen)));
        Self {
            port,
            seen,
            tasks: vec![forward, sample],
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Deliveries whose ack passed.
    pub fn acks(&self) -> usize {
        self.seen.acks.load(Ordering::Relaxed)
    }

    /// Deliveries that the workers have in hand: not acked, and their connection is there.
    pub fn in_hand(&self) -> usize {
        let connections = self.seen.connections.lock().unwrap();
        let there = connections.iter().filter_map(Weak::upgrade);
        there
            .map(|deliveries| deliveries.lock().unwrap().open.len())
            .sum()
    }

    /// Whether an ack of a message with this id passed.
    pub fn has_acked(&self, message_id: &str) -> bool {
        self.seen.acked.lock().unwrap().contains(message_id)
    }

    /// Panics if an ack came too early or a `sent` row changed.
    pub fn assert_right(&self) {
        let wrong = self.seen.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

async fn sample(seen: Arc<Seen>) {
    let mut known = BTreeSet::new();
    loop {
        tokio::time::sleep(EVERY).await;
        let observer = seen.ledger.clone();
        // A database that is away says nothing.
        let read = tokio::task::spawn_blocking(move || observer.sent()).await;
        let Ok(Some(now)) = read else { continue };
        let gone: Vec<_> = known.difference(&now).collect();
        if !gone.is_empty() {
            seen.wrong
                .lock()
                .unwrap()
                .push(format!("no longer sent: {gone:?}"));
        }
        known = now;
    }
}

async fn forward(listener: TcpListener, target: String, seen: Arc<Seen>) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (target, seen) = (target.clone(), Arc::clone(&seen));
        connections.spawn(async move {
            let Ok(far) = TcpStream::connect(target).await else {
                return;
            };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            let deliveries = Arc::new(Mutex::new(Deliveries::default()));
            seen.connections.lock().unwrap().push(Arc::downgrade(&deliveries));
            // The end of one direction is the end of both.
            tokio::select! {
                _ = client(from_near, to_far, &deliveries, &seen) => {}
                _ = broker(from_far, to_near, &deliveries) => {}
            }
        });
    }
}

/// What was delivered on a connection, by channel and tag: the `message_id`.
#[derive(Default)]
struct Deliveries {
    open: HashMap<(u16, u64), Option<String>>,
    /// The delivery whose content header comes next, by channel.
    announced: HashMap<u16, u64>,
}

async fn client(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    deliveries: &Mutex<Deliveries>,
    seen: &Arc<Seen>,
) -> std::io::Result<()> {
    let mut preface = [0; 8];
    from.read_exact(&mut preface).await?;
    to.write_all(&preface).await?;
    loop {
        let frame = Frame::read(&mut from).await?;
        if let Some((tag, multiple)) = frame.ack() {
            let ids = deliveries.lock().unwrap().acked(frame.channel(), tag, multiple);
            for id in ids {
                seen.acks.fetch_add(1, Ordering::Relaxed);
                // Without an id nothing says which dispatch it is for.
                let Some(id) = id else { continue };
                seen.acked.lock().unwrap().insert(id.clone());
                let ledger = seen.ledger.clone();
                let open = tokio::task::spawn_blocking(move || ledger.open_rows_of(&id).map(|n| (id, n)));
                if let Ok(Some((id, open))) = open.await
                    && open > 0
                {
                    let what = format!("{id} was acked with {open} open rows");
                    seen.wrong.lock().unwrap().push(what);
                }
            }
        }
        to.write_all(&frame.0).await?;
    }
}

async fn broker(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    deliveries: &Mutex<Deliveries>,
) -> std::io::Result<()> {
    loop {
        let frame = Frame::read(&mut from).await?;
        deliveries.lock().unwrap().note(&frame);
        to.write_all(&frame.0).await?;
    }
}

impl Deliveries {
    fn note(&mut self, frame: &Frame) {
        let channel = frame.channel();
        if let Some(tag) = frame.delivered() {
            self.announced.insert(channel, tag);
        } else if frame.0[0] == 2
            && let Some(tag) = self.announced.remove(&channel)
        {
            self.open.insert((channel, tag), frame.message_id());
        }
    }

    fn acked(&mut self, channel: u16, tag: u64, multiple: bool) -> Vec<Option<String>> {
        let tags: Vec<_> = self
            .open
            .keys()
            .filter(|(c, t)| *c == channel && (*t == tag || multiple && *t < tag))
            .copied()
            .collect();
        tags.iter().filter_map(|key| self.open.remove(key)).collect()
    }
}

/// One frame whole: type, channel, size, payload, end (AMQP 0-9-1, section 4.2.3).
struct Frame(Vec<u8>);

impl Frame {
    async fn read(from: &mut OwnedReadHalf) -> std::io::Result<Self> {
        let mut bytes = vec![0; 7];
        from.read_exact(&mut bytes).await?;
        let size = u32::from_be_bytes(bytes[3..7].try_into().unwrap()) as usize;
        bytes.resize(7 + size + 1, 0);
        from.read_exact(&mut bytes[7..]).await?;
        Ok(Self(bytes))
    }

    fn channel(&self) -> u16 {
        u16::from_be_bytes([self.0[1], self.0[2]])
    }

    fn is_method(&self, class: u16, method: u16) -> bool {
        let number = [class.to_be_bytes(), method.to_be_bytes()].concat();
        self.0[0] == 1 && self.0[7..11] == number
    }

    /// The tag of a basic.ack, and whether it is for all before it as well.
    fn ack(&self) -> Option<(u64, bool)> {
        self.is_method(60, 80)
            .then(|| (tag(&self.0[11..19]), self.0[19] & 1 == 1))
    }

    /// The tag of a basic.deliver that is to be acked, which what workers tell each other is not.
    fn delivered(&self) -> Option<u64> {
        if !self.is_method(60, 60) {
            return None;
        }
        let at = 12 + usize::from(self.0[11]);
        let exchange = &self.0[at + 10..][..usize::from(self.0[at + 9])];
        (!exchange.ends_with(b".live")).then(|| tag(&self.0[at..at + 8]))
    }

    /// The property of a content header.
    fn message_id(&self) -> Option<String> {
        let flags = u16::from_be_bytes(self.0[19..21].try_into().unwrap());
        let has = |bit: u16| flags & (1 << bit) != 0;
        let mut at = 21;
        let skip_text = |at: usize| at + 1 + usize::from(self.0[at]);
        for bit in [15, 14] {
            at = if has(bit) { skip_text(at) } else { at };
        }
        if has(13) {
            at += 4 + u32::from_be_bytes(self.0[at..at + 4].try_into().unwrap()) as usize;
        }
        at += usize::from(has(12)) + usize::from(has(11));
        for bit in [10, 9, 8] {
            at = if has(bit) { skip_text(at) } else { at };
        }
        has(7).then(|| String::from_utf8_lossy(&self.0[at + 1..skip_text(at)]).into_owned())
    }
}

fn tag(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}
