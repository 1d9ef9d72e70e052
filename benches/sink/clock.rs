//! Lets replies leave later, more exactly than a runtime's timer, which counts whole milliseconds.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

/// How long to wait for a peer that does not read.
const FULL: Duration = Duration::from_micros(200);

/// Replies on their way.
struct Due {
    at: Instant,
    hops: u32,
    stream: Arc<TcpStream>,
    replies: Vec<u8>,
}

/// The way out for replies.
#[derive(Clone)]
pub(super) struct Clock {
    delay: Duration,
    waiting: Option<Sender<Due>>,
}

impl Clock {
    pub(super) fn start(delay: Duration) -> Self {
        let waiting = (!delay.is_zero()).then(|| {
            let (sender, receiver) = channel();
            let again = sender.clone();
            std::thread::spawn(move || run(&receiver, &again, delay));
            sender
        });
        Self { delay, waiting }
    }

    /// Sends the replies, now or after so many delays.
    pub(super) async fn send(&self, stream: &Arc<TcpStream>, replies: Vec<u8>, hops: u32) -> io::Result<()> {
        let Some(waiting) = &self.waiting else {
            return send_now(stream, &replies).await;
        };
        let due = Due {
            at: Instant::now() + self.delay,
            hops: hops - 1,
            stream: Arc::clone(stream),
            replies,
        };
        waiting.send(due).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

async fn send_now(stream: &TcpStream, mut replies: &[u8]) -> io::Result<()> {
    while !replies.is_empty() {
        match stream.try_write(replies) {
            Ok(taken) => replies = &replies[taken..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// All wait equally long, so they come in the order in which they are due.
fn run(waiting: &Receiver<Due>, again: &Sender<Due>, delay: Duration) {
    while let Ok(mut due) = waiting.recv() {
        std::thread::sleep(due.at.saturating_duration_since(Instant::now()));
        if due.hops > 0 {
            due.hops -= 1;
            due.at += delay;
            // Only this thread receives, and it is still here.
            let _ = again.send(due);
            continue;
        }
        let mut replies = due.replies.as_slice();
        while !replies.is_empty() {
            match due.stream.try_write(replies) {
                Ok(taken) => replies = &replies[taken..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(FULL),
                Err(_) => break,
            }
        }
    }
}
