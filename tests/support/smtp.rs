//! A scripted SMTP server: records what it is given, and misbehaves on demand.
//!
//! Without a script it accepts everything, but for two kinds of recipients: `temp…` get 451 the first
//! two times, `perm…` always 550 5.1.1.

mod session;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// Where in a session something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    /// Right after the connection (and before implicit TLS).
    Connect,
    Greeting,
    Hello,
    StartTls,
    /// Once for AUTH and once for each response to a challenge.
    Auth,
    Mail,
    Rcpt,
    Data,
    /// Once the first octets of a body, or of a chunk (RFC 3030), are there; a reply is out of place here.
    Body,
    /// A chunk that is not the last.
    Bdat,
    /// The final dot, or the last chunk.
    Dot,
    Rset,
    Quit,
}

/// What a script is asked about.
#[derive(Debug, Clone)]
pub struct Event {
    pub at: At,
    /// From 1, in the order of connecting.
    pub connection: usize,
    pub tls: bool,
    /// The command as it came, without its line end.
    pub line: String,
    /// The transaction's recipient, from RCPT on.
    pub recipient: String,
}

/// What happens instead of the usual.
#[derive(Debug, Clone)]
pub enum Action {
    /// This reply (without its last line end), and nothing is recorded or changed.
    Reply(&'static str),
    /// The same, and the connection is closed.
    ReplyAndClose(&'static str),
    /// No reply, the connection is closed. At the dot nothing is recorded.
    Close,
    /// At the dot: the e-mail is recorded, then no reply and the connection is closed.
    AcceptAndClose,
    /// No reply, the connection is reset (RST instead of FIN). At the dot nothing is recorded.
    Reset,
    /// At the dot: the e-mail is recorded, then no reply and the connection is reset.
    AcceptAndReset,
    /// No reply ever; the connection stays open.
    Hang,
    /// At the dot: the e-mail is recorded, then no reply ever.
    AcceptAndHang,
    /// Waits, then the usual.
    Delay(Duration),
    /// The usual, its reply byte by byte with this pause before each.
    Dribble(Duration),
    /// Waits until it is true, then the usual.
    Until(watch::Receiver<bool>),
    /// The usual, and these bytes in the same write.
    Inject(&'static str),
}

type Script = Box<dyn Fn(&Event) -> Option<Action> + Send + Sync>;

/// How TLS is offered.
#[derive(Clone, Default)]
#[expect(clippy::enum_variant_names, reason = "STARTTLS is the command's name")]
pub enum Tls {
    /// Not at all: also what a client sees when somebody strips STARTTLS.
    #[default]
    No,
    StartTls(TlsAcceptor),
    Implicit(TlsAcceptor),
}

/// What a server does.
#[derive(Default)]
pub struct Options {
    pub tls: Tls,
    /// User and password; MAIL without AUTH is then refused with 530.
    pub auth: Option<(&'static str, &'static str)>,
    /// What stands after AUTH in the reply to EHLO; empty = not offered.
    pub mechanisms: &'static str,
    /// Further lines of the reply to EHLO, such as SMTPUTF8. BDAT is known if CHUNKING is among them;
    /// commands that come before the replies to earlier ones are always taken one by one.
    pub offers: &'static [&'static str],
    /// Asked at each event; `None` = the usual.
    pub script: Option<Script>,
}

impl Options {
    /// With a script.
    pub fn script(mut self, script: impl Fn(&Event) -> Option<Action> + Send + Sync + 'static) -> Self {
        self.script = Some(Box::new(script));
        self
    }

    /// `action` whenever `at` comes.
    pub fn at(self, at: At, action: Action) -> Self {
        self.script(move |event| (event.at == at).then(|| action.clone()))
    }
}

/// An e-mail that was accepted.
#[derive(Debug, Clone)]
pub struct Message {
    pub from: String,
    pub to: String,
    /// What stands after the address in MAIL FROM.
    pub parameters: String,
    /// Without the transparency dots and the final one.
    pub raw: Vec<u8>,
    pub tls: bool,
    pub user: Option<String>,
    pub connection: usize,
}

/// One RCPT, or one final dot, and the reply (empty if there was none).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub at: At,
    pub to: String,
    pub reply: String,
    pub connection: usize,
}

#[derive(Default)]
struct Records {
    connections: usize,
    messages: Vec<Message>,
    attempts: Vec<Attempt>,
    commands: Vec<(usize, String)>,
    temporary: HashMap<String, usize>,
    turns: usize,
}

struct Shared {
    options: Options,
    records: Mutex<Records>,
    changed: Notify,
}

/// A running server; it ends, connections included, when dropped.
pub struct SmtpServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SmtpServer {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(options: Options) -> Self {
        Self::start_on("127.0.0.1:0", options).await
    }

    /// Listens on `addr`.
    pub async fn start_on(addr: &str, options: Options) -> Self {
        let listener = TcpListener::bind(addr).await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            options,
            records: Mutex::default(),
            changed: Notify::new(),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { addr, shared, task }
    }

    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// All accepted e-mails, in the order of acceptance.
    pub fn messages(&self) -> Vec<Message> {
        self.shared.records().messages.clone()
    }

    /// All RCPTs and final dots, in order.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.shared.records().attempts.clone()
    }

    /// All command lines with their connections, AUTH responses included.
    pub fn commands(&self) -> Vec<(usize, String)> {
        self.shared.records().commands.clone()
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.shared.records().connections
    }

    /// How often a session had answered all it was given and waited for more: round trips.
    pub fn turns(&self) -> usize {
        self.shared.records().turns
    }

    /// Waits until `count` e-mails were accepted, or panics after `limit`.
    pub async fn wait_for(&self, count: usize, limit: Duration) -> Vec<Message> {
        let enough = async {
            loop {
                let changed = self.shared.changed.notified();
                if self.shared.records().messages.len() >= count {
                    return;
                }
                changed.await;
            }
        };
        let in_time = tokio::time::timeout(limit, enough).await.is_ok();
        let messages = self.messages();
        assert!(in_time, "{} of {count} e-mails after {limit:?}", messages.len());
        messages
    }
}

impl Shared {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().expect("no panic while recording")
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and the sessions with it.
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((tcp, _)) = accepted else { continue };
                let number = {
                    let mut records = shared.records();
                    records.connections += 1;
                    records.connections
                };
                let shared = Arc::clone(&shared);
                sessions.spawn(async move {
                    // A session's end is no failure of the server's.
                    let _ = session::run(tcp, number, &shared).await;
                });
            }
            Some(_) = sessions.join_next() => {}
        }
    }
}
