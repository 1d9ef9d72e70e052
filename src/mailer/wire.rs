//! One connection as lines: commands out, replies in, each under a time limit.
//!
//! Nothing that was received before an upgrade to TLS is read after it, and a reply that nobody asked
//! for is an error: replies cannot shift against the commands.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt as _;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::fault::{FaultCause, Reply};

/// Longest line of a reply, in bytes; RFC 5321 4.5.3.1.5 asks for 512.
const MAX_LINE: usize = 1000;

/// Longest reply, in bytes.
const MAX_REPLY: usize = 100_000;

/// A reply with its lines, as EHLO needs them.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) code: u16,
    pub(super) lines: Vec<String>,
}

impl Lines {
    pub(super) fn reply(&self) -> Reply {
        Reply::new(self.code, &self.lines)
    }
}

/// How a write that did not go through ended.
#[derive(Debug)]
pub(super) struct Cut {
    /// Bytes that the socket took: these may arrive, the rest certainly does not.
    pub(super) taken: usize,
    pub(super) cause: FaultCause,
}

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

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Result<Self, FaultCause> {
        // Commands and the final dot are short: Nagle's algorithm would hold each back for 40 ms.
        stream.set_nodelay(true).map_err(|error| broken(&error))?;
        Ok(Self {
            stream: Stream::Plain(stream),
            received: Vec::with_capacity(1024),
        })
    }

    /// Goes on under TLS. What the relay said in plain text and is not yet read is an error, whether
    /// it stands here (refused) or still in the socket (breaks the handshake): RFC 3207 4.2.
    pub(super) async fn encrypt(
        self,
        connector: &TlsConnector,
        name: ServerName<'static>,
    ) -> Result<Self, FaultCause> {
        let Stream::Plain(tcp) = self.stream else {
            return Err(FaultCause::Protocol("TLS within TLS".into()));
        };
        if !self.received.is_empty() {
            return Err(FaultCause::Protocol(
                "plain text after the reply to STARTTLS".into(),
            ));
        }
        let stream = connector
            .connect(name, tcp)
            .await
            .map_err(|error| FaultCause::Tls(error.to_string()))?;
        Ok(Self {
            stream: Stream::Tls(Box::new(stream)),
            received: self.received,
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
        if self.received.is_empty() {
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

    /// Writes `bytes`; each part that the socket takes has `limit` of its own.
    pub(super) async fn write(&mut self, bytes: &[u8], limit: Duration) -> Result<(), Cut> {
        let mut taken = 0;
        while taken < bytes.len() {
            match within(limit, self.send_some(&bytes[taken..])).await {
                Ok(count) => taken += count,
                Err(cause) => return Err(Cut { taken, cause }),
            }
        }
        within(limit, self.flush())
            .await
            .map_err(|cause| Cut { taken, cause })
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

    async fn send_some(&mut self, bytes: &[u8]) -> Result<usize, FaultCause> {
        let count = match &mut self.stream {
            Stream::Plain(tcp) => tcp.write(bytes).await,
            Stream::Tls(tls) => tls.write(bytes).await,
        }
        .map_err(|error| broken(&error))?;
        if count == 0 {
            Err(FaultCause::Closed)
        } else {
            Ok(count)
        }
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
        let Some((lines, length)) = parse_reply(&self.received)? else {
            return Ok(None);
        };
        self.received.drain(..length);
        Ok(Some(lines))
    }
}

/// One whole reply (RFC 5321 4.2) at the start of `bytes`, and its length; `None` if more is to come.
fn parse_reply(bytes: &[u8]) -> Result<Option<(Lines, usize)>, FaultCause> {
    let mut reply = Lines {
        code: 0,
        lines: Vec::new(),
    };
    let mut start = 0;
    loop {
        let rest = &bytes[start..];
        let end = rest.iter().position(|&b| b == b'\n');
        if start > MAX_REPLY || end.unwrap_or(rest.len()) > MAX_LINE {
            return Err(FaultCause::Protocol("the reply is too long".into()));
        }
        let Some(end) = end else { return Ok(None) };
        start += end + 1;
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        let (code, more, text) = split_line(line).ok_or_else(|| not_a_reply(line))?;
        if !reply.lines.is_empty() && reply.code != code {
            return Err(FaultCause::Protocol(
                "the lines of a reply disagree about its code".into(),
            ));
        }
        reply.code = code;
        reply.lines.push(String::from_utf8_lossy(text).into_owned());
        if !more {
            return Ok(Some((reply, start)));
        }
    }
}

/// Code, whether another line follows, and text. A code alone is fine (RFC 5321 4.2).
fn split_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (code, rest) = line.split_at_checked(3)?;
    let valid = matches!(code[0], b'2'..=b'5') && code.iter().all(u8::is_ascii_digit);
    let code = code
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(digit.wrapping_sub(b'0')));
    match rest.split_first() {
        _ if !valid => None,
        None => Some((code, false, rest)),
        Some((b' ', text)) => Some((code, false, text)),
        Some((b'-', text)) => Some((code, true, text)),
        Some(_) => None,
    }
}

fn not_a_reply(line: &[u8]) -> FaultCause {
    let shown = crate::domain::one_line(&String::from_utf8_lossy(line), 80);
    FaultCause::Protocol(format!("not an SMTP reply: {shown}"))
}

fn broken(error: &io::Error) -> FaultCause {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => FaultCause::Closed,
        _ => FaultCause::Io(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("250 ok\r\n", 250, &["ok"], 8)]
    #[case("250\r\n", 250, &[""], 5)]
    #[case("250 \n", 250, &[""], 5)]
    #[case("560 strange\r\n", 560, &["strange"], 13)]
    #[case("250-a\r\n250- \r\n250 b\r\n220 next\r\n", 250, &["a", " ", "b"], 21)]
    fn whole(#[case] text: &str, #[case] code: u16, #[case] lines: &[&str], #[case] length: usize) {
        let (reply, taken) = parse_reply(text.as_bytes()).unwrap().unwrap();
        assert_eq!((reply.code, taken), (code, length));
        assert_eq!(reply.lines, lines);
        for cut in 0..length {
            assert!(parse_reply(&text.as_bytes()[..cut]).unwrap().is_none());
        }
    }

    #[rstest]
    #[case(b"hello\r\n".to_vec())]
    #[case(b"\r\n".to_vec())]
    #[case(b"25\r\n".to_vec())]
    #[case(b"150 no\r\n".to_vec())]
    #[case(b"650 no\r\n".to_vec())]
    #[case(b"2500 no\r\n".to_vec())]
    #[case(b"250-a\r\n251 b\r\n".to_vec())]
    #[case([b"250 ", "x".repeat(2000).as_bytes()].concat())]
    #[case("250-x\r\n".repeat(20_000).into_bytes())]
    fn no_reply(#[case] bytes: Vec<u8>) {
        assert!(matches!(parse_reply(&bytes), Err(FaultCause::Protocol(_))));
    }

    #[test]
    fn text_need_not_be_utf8() {
        let (reply, _) = parse_reply(b"550 Benutzer nicht m\xf6glich\r\n")
            .unwrap()
            .unwrap();
        assert_eq!(reply.reply().text, "Benutzer nicht m\u{fffd}glich");
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_reply(&bytes);
        }
    }
}
