//! One connection: bytes out, replies in.
//!
//! Nothing that was received before an upgrade to TLS is read after it; what was taken of a write is known to
//! the byte, whatever error follows; a reply that came while none was awaited is found.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::fault::FaultCause;
use super::lines::{Lines, whole_reply};

/// Bytes that are read at once.
const READ: usize = 4096;

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection to a relay.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    received: Vec<u8>,
    /// So much of it is read.
    consumed: usize,
}

/// Waits for `step` at most `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, FaultCause>>,
) -> Result<T, FaultCause> {
    tokio::time::timeout(limit, step)
        .await
        .unwrap_or(Err(FaultCause::Timeout(limit)))
}

impl Stream {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<Poll<usize>> {
        if bytes.is_empty() {
            return Ok(Poll::Ready(0));
        }
        let polled = match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            // Only into its buffer: an error of the socket must not hide what was taken.
            Self::Tls(tls) => match io::Write::write(&mut tls.get_mut().1.writer(), bytes)? {
                0 => Poll::Pending,
                taken => Poll::Ready(Ok(taken)),
            },
        };
        transpose(polled)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    /// Appends what has come to `received`; 0 is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, received: &mut Vec<u8>) -> io::Result<Poll<usize>> {
        let mut chunk = [0; READ];
        let mut buffer = ReadBuf::new(&mut chunk);
        let polled = match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, &mut buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, &mut buffer),
        };
        let polled = transpose(polled)?;
        received.extend_from_slice(buffer.filled());
        Ok(polled.map(|()| buffer.filled().len()))
    }
}

fn transpose<T>(polled: Poll<io::Result<T>>) -> io::Result<Poll<T>> {
    match polled {
        Poll::Ready(result) => result.map(Poll::Ready),
        Poll::Pending => Ok(Poll::Pending),
    }
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Result<Self, FaultCause> {
        // Commands and the final dot are short: Nagle's algorithm would hold each back for 40 ms.
        stream.set_nodelay(true).map_err(|error| broken(&error))?;
        Ok(Self {
            stream: Stream::Plain(stream),
            received: Vec::with_capacity(1024),
            consumed: 0,
        })
    }

    /// Goes on under TLS. What the relay said in plain text and is not yet read is an error, whether
    /// it stands here (refused) or still in the socket (breaks the handshake): RFC 3207 4.2.
    pub(super) async fn encrypt(
        self,
        connector: &TlsConnector,
        name: ServerName<'static>,
    ) -> Result<Self, FaultCause> {
        if !self.unread().is_empty() {
            return Err(FaultCause::Protocol(
                "plain text after the reply to STARTTLS".into(),
            ));
        }
        let Stream::Plain(tcp) = self.stream else {
            return Err(FaultCause::Protocol("TLS within TLS".into()));
        };
        let stream = connector
            .connect(name, tcp)
            .await
            .map_err(|error| FaultCause::Tls(error.to_string()))?;
        Ok(Self {
            stream: Stream::Tls(Box::new(stream)),
            received: self.received,
            consumed: self.consumed,
        })
    }

    pub(super) const fn is_encrypted(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Our own end's address.
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.stream {
            Stream::Plain(tcp) => tcp.local_addr(),
            Stream::Tls(tls) => tls.get_ref().0.local_addr(),
        }
    }

    /// Finds out, without waiting, whether the relay closed the connection or spoke unasked, as it
    /// does before it hangs up on an idle client (421).
    pub(super) fn check_idle(&mut self) -> Result<(), FaultCause> {
        let heard = self.receive().now_or_never();
        if self.unread().is_empty() {
            return heard.map_or(Ok(()), |end| end.and(Err(FaultCause::Closed)));
        }
        Err(match self.parse() {
            Ok(Some(lines)) if lines.code == 421 => FaultCause::Reply(lines.reply()),
            Ok(Some(lines)) => FaultCause::Protocol(format!("unasked reply {}", lines.reply())),
            Ok(None) => FaultCause::Protocol("unasked text".into()),
            Err(cause) => cause,
        })
    }

    /// Sends one command, its line end included, and waits for the reply.
    pub(super) async fn command(&mut self, line: &str, limit: Duration) -> Result<Lines, FaultCause> {
        within(limit, async {
            self.check_idle()?;
            self.send(line.as_bytes()).await?;
            self.read_reply().await
        })
        .await
    }

    /// Waits for a reply.
    pub(super) async fn reply(&mut self, limit: Duration) -> Result<Lines, FaultCause> {
        within(limit, self.read_reply()).await
    }

    /// Writes what the socket takes of `out` and reads what has come, and returns as soon as one of both
    /// did something: how many bytes were taken. Nothing is lost when it is dropped.
    pub(super) async fn progress(&mut self, out: &[u8]) -> Result<usize, FaultCause> {
        let received = &mut self.received;
        let stream = &mut self.stream;
        poll_fn(|cx| {
            // Makes room, or wakes us when there is some.
            if let Poll::Ready(Err(error)) = stream.poll_flush(cx) {
                return Poll::Ready(Err(error));
            }
            let taken = match stream.poll_write(cx, out)? {
                Poll::Ready(0) if !out.is_empty() => {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Poll::Ready(count) => count,
                Poll::Pending => 0,
            };
            let flushed = stream.poll_flush(cx);
            if taken > 0 {
                // Before any error: what was taken has to be counted.
                return Poll::Ready(Ok(taken));
            }
            if let Poll::Ready(Err(error)) = flushed {
                return Poll::Ready(Err(error));
            }
            match stream.poll_read(cx, received)? {
                Poll::Ready(0) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(_) => Poll::Ready(Ok(0)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
        .map_err(|error: io::Error| broken(&error))
    }

    /// Takes in what has come by now, without waiting.
    pub(super) fn listen(&mut self) {
        while let Some(Ok(())) = self.receive().now_or_never() {}
    }

    /// The next reply, if the whole of it is there: its code and its bytes.
    pub(super) fn next_reply(&mut self) -> Result<Option<(u16, Vec<u8>)>, FaultCause> {
        let Some((code, length)) = whole_reply(&self.received[self.consumed..])? else {
            return Ok(None);
        };
        let bytes = self.received[self.consumed..self.consumed + length].to_vec();
        self.consume(length);
        Ok(Some((code, bytes)))
    }

    fn consume(&mut self, length: usize) {
        self.consumed += length;
        if self.consumed == self.received.len() {
            self.received.clear();
            self.consumed = 0;
        }
    }

    fn unread(&self) -> &[u8] {
        &self.received[self.consumed..]
    }

    /// Closes our side.
    pub(super) async fn close(&mut self) {
        // What the relay makes of a closed connection changes nothing any more.
        let _ = match &mut self.stream {
            Stream::Plain(tcp) => tcp.shutdown().await,
            Stream::Tls(tls) => tls.shutdown().await,
        };
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), FaultCause> {
        match &mut self.stream {
            Stream::Plain(tcp) => tcp.write_all(bytes).await,
            Stream::Tls(tls) => tls.write_all(bytes).await,
        }
        .map_err(|error| broken(&error))?;
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), FaultCause> {
        match &mut self.stream {
            Stream::Plain(tcp) => tcp.flush().await,
            Stream::Tls(tls) => tls.flush().await,
        }
        .map_err(|error| broken(&error))
    }

    async fn read_reply(&mut self) -> Result<Lines, FaultCause> {
        loop {
            if let Some(lines) = self.parse()? {
                return Ok(lines);
            }
            self.receive().await?;
        }
    }

    async fn receive(&mut self) -> Result<(), FaultCause> {
        let count = match &mut self.stream {
            Stream::Plain(tcp) => tcp.read_buf(&mut self.received).await,
            Stream::Tls(tls) => tls.read_buf(&mut self.received).await,
        }
        .map_err(|error| broken(&error))?;
        if count == 0 {
            Err(FaultCause::Closed)
        } else {
            Ok(())
        }
    }

    /// Takes one whole reply out of what was received, if it is there.
    fn parse(&mut self) -> Result<Option<Lines>, FaultCause> {
        Ok(self.next_reply()?.map(|(code, bytes)| Lines::read(code, &bytes)))
    }
}

fn broken(error: &io::Error) -> FaultCause {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => FaultCause::Closed,
        _ => FaultCause::Io(error.to_string()),
    }
}
