//! One session of the server.

mod chunks;

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Action, At, Attempt, Event, Message, Shared, Tls};

trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {
    /// What is closed next is reset.
    fn reset(&self) -> io::Result<()>;
}

impl Io for TcpStream {
    fn reset(&self) -> io::Result<()> {
        self.set_zero_linger()
    }
}

impl Io for TlsStream<Box<dyn Io>> {
    fn reset(&self) -> io::Result<()> {
        self.get_ref().0.reset()
    }
}

/// What stands in while the connection is encrypted.
impl Io for DuplexStream {
    fn reset(&self) -> io::Result<()> {
        Ok(())
    }
}

struct Session<'a> {
    shared: &'a Shared,
    io: Box<dyn Io>,
    received: Vec<u8>,
    number: usize,
    tls: bool,
    user: Option<String>,
    from: Option<String>,
    parameters: String,
    to: Option<String>,
    /// The chunks of the e-mail so far.
    chunks: Vec<u8>,
    /// It has said something since it last received.
    said: bool,
}

/// What was done at an event.
#[derive(PartialEq, Eq)]
enum Done {
    Usual,
    Replaced,
}

fn ended() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

async fn opened(mut gate: watch::Receiver<bool>) -> io::Result<()> {
    let opened = gate.wait_for(|open| *open).await;
    opened.map(drop).map_err(|_| ended())
}

pub(super) async fn run(tcp: TcpStream, number: usize, shared: &Shared) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut session = Session {
        shared,
        io: Box::new(tcp),
        received: Vec::new(),
        number,
        tls: false,
        user: None,
        from: None,
        parameters: String::new(),
        to: None,
        chunks: Vec::new(),
        said: false,
    };
    session.act(At::Connect, "", "").await?;
    if let Tls::Implicit(acceptor) = &shared.options.tls {
        session.encrypt(acceptor).await?;
    }
    session.act(At::Greeting, "", "220 relay.test ESMTP").await?;
    loop {
        let line = session.line().await?;
        shared.records().commands.push((number, line.clone()));
        session.command(&line).await?;
    }
}

impl Session<'_> {
    async fn command(&mut self, line: &str) -> io::Result<()> {
        let verb = line.split([' ', ':']).next().unwrap_or("").to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => self.hello(line).await,
            "HELO" => self.act(At::Hello, line, "250 relay.test").await.map(drop),
            "STARTTLS" => self.start_tls(line).await,
            "AUTH" => self.auth(line).await,
            "MAIL" => self.mail(line).await,
            "RCPT" => self.rcpt(line).await,
            "DATA" => self.data(line).await,
            "BDAT" if self.shared.options.offers.contains(&"CHUNKING") => self.bdat(line).await,
            "RSET" => {
                self.clear();
                self.act(At::Rset, line, "250 2.0.0 reset").await.map(drop)
            }
            "QUIT" => {
                self.act(At::Quit, line, "221 2.0.0 bye").await?;
                Err(ended())
            }
            _ => self.say("502 5.5.1 what?").await,
        }
    }

    async fn hello(&mut self, line: &str) -> io::Result<()> {
        let options = &self.shared.options;
        let mut lines = vec!["relay.test".to_owned()];
        if matches!(options.tls, Tls::StartTls(_)) && !self.tls {
            lines.push("STARTTLS".into());
        }
        if !options.mechanisms.is_empty() {
            lines.push(format!("AUTH {}", options.mechanisms));
        }
        lines.extend(options.offers.iter().map(|&offer| offer.to_owned()));
        let last = lines.pop().unwrap_or_default();
        let mut reply = String::new();
        for line in lines {
            reply.push_str("250-");
            reply.push_str(&line);
            reply.push_str("\r\n");
        }
        reply.push_str("250 ");
        reply.push_str(&last);
        self.act(At::Hello, line, &reply).await.map(drop)
    }

    async fn start_tls(&mut self, line: &str) -> io::Result<()> {
        let Tls::StartTls(acceptor) = &self.shared.options.tls else {
            return self.say("502 5.5.1 no TLS here").await;
        };
        if self.act(At::StartTls, line, "220 2.0.0 go ahead").await? == Done::Usual {
            self.received.clear();
            self.encrypt(acceptor).await?;
        }
        Ok(())
    }

    async fn encrypt(&mut self, acceptor: &TlsAcceptor) -> io::Result<()> {
        let (placeholder, _) = tokio::io::duplex(1);
        let plain = std::mem::replace(&mut self.io, Box::new(placeholder));
        self.io = Box::new(acceptor.accept(plain).await?);
        self.tls = true;
        Ok(())
    }

    async fn auth(&mut self, line: &str) -> io::Result<()> {
        let mut words = line.split(' ').skip(1);
        let mechanism = words.next().unwrap_or("").to_ascii_uppercase();
        let initial = words.next().map(str::to_owned);
        let given = match (mechanism.as_str(), initial) {
            ("PLAIN", Some(initial)) => decode(&initial),
            ("PLAIN", None) => match self.challenge(line, "334 ").await? {
                Some(answer) => decode(&answer),
                None => return Ok(()),
            },
            ("LOGIN", _) => {
                let Some(user) = self.challenge(line, "334 VXNlcm5hbWU6").await? else {
                    return Ok(());
                };
                let Some(password) = self.challenge(line, "334 UGFzc3dvcmQ6").await? else {
                    return Ok(());
                };
                format!("\0{}\0{}", decode(&user), decode(&password))
            }
            _ => return self.say("504 5.5.4 unknown mechanism").await,
        };
        let wanted = self
            .shared
            .options
            .auth
            .map(|(user, password)| format!("\0{user}\0{password}"));
        if wanted.is_some_and(|wanted| wanted != given) {
            return self.say("535 5.7.8 wrong user or password").await;
        }
        if self.act(At::Auth, line, "235 2.7.0 welcome").await? == Done::Usual {
            self.user = given.split('\0').nth(1).map(str::to_owned);
        }
        Ok(())
    }

    async fn challenge(&mut self, line: &str, prompt: &str) -> io::Result<Option<String>> {
        if self.act(At::Auth, line, prompt).await? == Done::Replaced {
            return Ok(None);
        }
        let answer = self.line().await?;
        self.shared.records().commands.push((self.number, answer.clone()));
        Ok(Some(answer))
    }

    async fn mail(&mut self, line: &str) -> io::Result<()> {
        if self.shared.options.auth.is_some() && self.user.is_none() {
            return self.say("530 5.7.0 authentication required").await;
        }
        if self.from.is_some() {
            return self.say("503 5.5.1 nested MAIL").await;
        }
        let Some((from, parameters)) = between_brackets(line) else {
            return self.say("501 5.5.4 MAIL FROM:<address>").await;
        };
        if self.act(At::Mail, line, "250 2.1.0 ok").await? == Done::Usual {
            (self.from, self.parameters) = (Some(from), parameters);
        }
        Ok(())
    }

    async fn rcpt(&mut self, line: &str) -> io::Result<()> {
        if self.from.is_none() {
            return self.say("503 5.5.1 MAIL first").await;
        }
        let Some((to, _)) = between_brackets(line) else {
            return self.say("501 5.5.4 RCPT TO:<address>").await;
        };
        let refusal = self.refusal(&to);
        let accepted = self.to.replace(to);
        if let Some(refusal) = refusal {
            self.attempt(At::Rcpt, refusal);
            self.to = accepted;
            return self.say(refusal).await;
        }
        if self.act(At::Rcpt, line, "250 2.1.5 ok").await? == Done::Replaced {
            self.to = accepted;
        }
        Ok(())
    }

    fn refusal(&self, to: &str) -> Option<&'static str> {
        if to.starts_with("perm") {
            return Some("550 5.1.1 no such user");
        }
        if to.starts_with("temp") {
            let mut records = self.shared.records();
            let count = records.temporary.entry(to.to_owned()).or_default();
            *count += 1;
            return (*count <= 2).then_some("451 4.3.0 try again later");
        }
        None
    }

    async fn data(&mut self, line: &str) -> io::Result<()> {
        if self.to.is_none() {
            return self.say("503 5.5.1 RCPT first").await;
        }
        if !self.chunks.is_empty() {
            return self.say("503 5.5.1 DATA after BDAT").await;
        }
        if self.act(At::Data, line, "354 go ahead").await? == Done::Replaced {
            return Ok(());
        }
        if self.begun().await? == Done::Replaced {
            return Ok(());
        }
        let raw = self.body().await?;
        let message = self.message(raw);
        self.dot(".", message).await?;
        self.clear();
        Ok(())
    }

    fn message(&self, raw: Vec<u8>) -> Message {
        Message {
            from: self.from.clone().unwrap_or_default(),
            to: self.to.clone().unwrap_or_default(),
            parameters: self.parameters.clone(),
            raw,
            tls: self.tls,
            user: self.user.clone(),
            connection: self.number,
        }
    }

    fn clear(&mut self) {
        (self.from, self.to) = (None, None);
        self.chunks.clear();
    }

    /// Waits for the first octets of a body.
    async fn begun(&mut self) -> io::Result<Done> {
        if self.received.is_empty() {
            self.receive().await?;
        }
        self.act(At::Body, "", "").await
    }

    async fn dot(&mut self, line: &str, message: Message) -> io::Result<()> {
        let event = self.event(At::Dot, line);
        let action = self
            .shared
            .options
            .script
            .as_ref()
            .and_then(|script| script(&event));
        match action.clone() {
            Some(Action::Delay(time)) => tokio::time::sleep(time).await,
            Some(Action::Until(gate)) => opened(gate).await?,
            _ => {}
        }
        let reply = "250 2.0.0 queued";
        match action {
            Some(Action::Dribble(pause)) => {
                self.attempt(At::Dot, reply);
                self.record(message);
                self.dribble(reply, pause).await
            }
            None | Some(Action::Delay(_) | Action::Until(_) | Action::Inject(_)) => {
                self.attempt(At::Dot, reply);
                self.record(message);
                let more = if let Some(Action::Inject(more)) = action {
                    more
                } else {
                    ""
                };
                self.send(&format!("{reply}\r\n{more}")).await
            }
            Some(Action::AcceptAndClose) => {
                self.record(message);
                Err(ended())
            }
            Some(Action::AcceptAndReset) => {
                self.record(message);
                self.io.reset()?;
                Err(ended())
            }
            Some(Action::AcceptAndHang) => {
                self.record(message);
                std::future::pending().await
            }
            Some(other) => self.perform(At::Dot, other, "").await.map(drop),
        }
    }

    fn record(&self, message: Message) {
        self.shared.records().messages.push(message);
        self.shared.changed.notify_waiters();
    }

    fn attempt(&self, at: At, reply: &str) {
        if matches!(at, At::Rcpt | At::Dot) {
            self.shared.records().attempts.push(Attempt {
                at,
                to: self.to.clone().unwrap_or_default(),
                reply: reply.to_owned(),
                connection: self.number,
            });
        }
    }

    fn event(&self, at: At, line: &str) -> Event {
        let recipient = self.to.clone().unwrap_or_default();
        Event {
            at,
            connection: self.number,
            tls: self.tls,
            line: line.to_owned(),
            recipient,
        }
    }

    /// Does what the script says about this event, else gives `usual`.
    async fn act(&mut self, at: At, line: &str, usual: &str) -> io::Result<Done> {
        let event = self.event(at, line);
        let action = self
            .shared
            .options
            .script
            .as_ref()
            .and_then(|script| script(&event));
        match action {
            None => self.usual(at, usual).await,
            Some(action) => self.perform(at, action, usual).await,
        }
    }

    async fn perform(&mut self, at: At, action: Action, usual: &str) -> io::Result<Done> {
        match action {
            Action::Reply(reply) => {
                self.attempt(at, reply);
                self.say(reply).await?;
                Ok(Done::Replaced)
            }
            Action::ReplyAndClose(reply) => {
                self.attempt(at, reply);
                self.say(reply).await?;
                Err(ended())
            }
            Action::Close | Action::AcceptAndClose => {
                self.attempt(at, "");
                Err(ended())
            }
            Action::Reset | Action::AcceptAndReset => {
                self.attempt(at, "");
                self.io.reset()?;
                Err(ended())
            }
            Action::Hang | Action::AcceptAndHang => {
                self.attempt(at, "");
                std::future::pending().await
            }
            Action::Delay(time) => {
                tokio::time::sleep(time).await;
                self.usual(at, usual).await
            }
            Action::Dribble(pause) => {
                self.attempt(at, usual);
                if !usual.is_empty() {
                    self.dribble(usual, pause).await?;
                }
                Ok(Done::Usual)
            }
            Action::Until(gate) => {
                opened(gate).await?;
                self.usual(at, usual).await
            }
            Action::Inject(more) => {
                self.attempt(at, usual);
                self.send(&format!("{usual}\r\n{more}")).await?;
                Ok(Done::Usual)
            }
        }
    }

    async fn usual(&mut self, at: At, reply: &str) -> io::Result<Done> {
        self.attempt(at, reply);
        if !reply.is_empty() {
            self.say(reply).await?;
        }
        Ok(Done::Usual)
    }

    async fn dribble(&mut self, reply: &str, pause: Duration) -> io::Result<()> {
        for byte in reply.bytes().chain(*b"\r\n") {
            tokio::time::sleep(pause).await;
            self.io.write_all(&[byte]).await?;
            self.io.flush().await?;
        }
        Ok(())
    }

    async fn say(&mut self, reply: &str) -> io::Result<()> {
        self.send(&format!("{reply}\r\n")).await
    }

    async fn send(&mut self, text: &str) -> io::Result<()> {
        self.said = true;
        self.io.write_all(text.as_bytes()).await?;
        self.io.flush().await
    }

    async fn line(&mut self) -> io::Result<String> {
        let end = self.read_until(b"\r\n").await?;
        let line: Vec<u8> = self.received.drain(..end + 2).take(end).collect();
        String::from_utf8(line).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    async fn body(&mut self) -> io::Result<Vec<u8>> {
        // So that an empty e-mail's dot also stands after a line end.
        self.received.splice(..0, *b"\r\n");
        let end = self.read_until(b"\r\n.\r\n").await?;
        let stuffed: Vec<u8> = self.received.drain(..end + 5).take(end + 2).skip(2).collect();
        let mut raw = Vec::with_capacity(stuffed.len());
        for line in stuffed.split_inclusive(|&b| b == b'\n') {
            raw.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        Ok(raw)
    }

    /// Receives until `end` is there; where it begins.
    async fn read_until(&mut self, end: &[u8]) -> io::Result<usize> {
        let mut from = 0;
        loop {
            if let Some(at) = self.received[from..].windows(end.len()).position(|w| w == end) {
                return Ok(from + at);
            }
            from = self.received.len().saturating_sub(end.len() - 1);
            self.receive().await?;
        }
    }

    async fn receive(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.said) {
            self.shared.records().turns += 1;
        }
        // What was sent at once is to be received at once.
        self.received.reserve(1 << 17);
        match self.io.read_buf(&mut self.received).await? {
            0 => Err(ended()),
            _ => Ok(()),
        }
    }
}

/// `MAIL FROM:<a@b> SMTPUTF8` → `("a@b", "SMTPUTF8")`.
fn between_brackets(line: &str) -> Option<(String, String)> {
    let (_, rest) = line.split_once(":<")?;
    let (address, parameters) = rest.rsplit_once('>')?;
    Some((address.to_owned(), parameters.trim().to_owned()))
}

/// Base64, leniently: what is not of its alphabet is skipped.
fn decode(text: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for digit in text.bytes().filter_map(|b| ALPHABET.iter().position(|&a| a == b)) {
        bits = (bits << 6) | u32::try_from(digit).unwrap_or(0);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).unwrap_or(0));
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
