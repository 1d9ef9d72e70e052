//! The mailer against a scripted SMTP server.

use std::time::{Duration, Instant};

use herald::config::{RelayConfig, TlsMode};
use herald::domain::{DispatchId, EmailAddress, NotificationId};
use herald::mailer::{
    Conversation, Fault, FaultCause, Handover, Parcel, Phase, Refusal, Relay, RelayConfigError, Reply,
};
use rstest::rstest;

use crate::support::certs::Certs;
use crate::support::relay::plain_relay;
use crate::support::smtp::{Action, At, Event, Options, SmtpServer, Tls};

const EMAIL: &[u8] = b"Subject: x\r\n\r\n.dot\r\nbye\r\n";

/// Far above what a loopback conversation takes, and short enough to wait for.
const LIMIT: Duration = Duration::from_millis(500);

fn config(server: &SmtpServer) -> RelayConfig {
    plain_relay(server.port())
}

fn impatient(server: &SmtpServer) -> RelayConfig {
    RelayConfig {
        timeout: LIMIT,
        data_timeout: LIMIT,
        ..config(server)
    }
}

fn with_tls(server: &SmtpServer, certs: &Certs, tls: TlsMode) -> RelayConfig {
    RelayConfig {
        tls,
        tls_ca: Some(certs.ca()),
        ..config(server)
    }
}

fn address(text: &str) -> EmailAddress {
    text.parse().expect("an address")
}

async fn connect(config: &RelayConfig) -> Result<Conversation, Fault> {
    Relay::new(config).expect("a relay").connect().await
}

async fn send(conversation: &mut Conversation, to: &str) -> Handover {
    hand_over(conversation, &address("news@example.com"), &address(to), EMAIL).await
}

/// One e-mail by itself.
async fn hand_over(
    conversation: &mut Conversation,
    from: &EmailAddress,
    to: &EmailAddress,
    email: &[u8],
) -> Handover {
    conversation.add(parcel(from, to, email));
    only(conversation.advance(|_| true).await)
}

fn parcel<'a>(from: &'a EmailAddress, to: &'a EmailAddress, email: &[u8]) -> Parcel<'a> {
    Parcel {
        dispatch: DispatchId::generate(),
        notification: NotificationId(1),
        from,
        to,
        email: email.to_vec().into(),
    }
}

fn only(mut handovers: Vec<Handover>) -> Handover {
    assert_eq!(handovers.len(), 1, "{handovers:?}");
    handovers.remove(0)
}

async fn fault(config: &RelayConfig) -> Fault {
    connect(config).await.expect_err("a fault")
}

/// One e-mail to a server that does `action` at `at`, and whether the conversation goes on.
async fn one(at: At, action: Action) -> (Handover, bool, SmtpServer) {
    let server = SmtpServer::start(Options::default().at(at, action)).await;
    let mut conversation = connect(&impatient(&server)).await.expect("a conversation");
    let handover = send(&mut conversation, "ann@example.com").await;
    (handover, conversation.is_usable(), server)
}

fn code(reply: Option<&Reply>) -> u16 {
    reply.map_or(0, |reply| reply.code)
}

#[tokio::test]
async fn plain_text_and_several_e_mails_on_one_connection() {
    let server = SmtpServer::start(Options::default()).await;
    let mut conversation = connect(&config(&server)).await.unwrap();
    assert!(!conversation.is_encrypted());
    for n in 0..3 {
        let handover = send(&mut conversation, &format!("ann{n}@example.com")).await;
        let Handover::Accepted(reply) = handover else {
            panic!("{handover:?}")
        };
        assert_eq!(reply.to_string(), "250 2.0.0 queued");
    }
    conversation.quit().await;
    let messages = server.messages();
    let to: Vec<_> = messages.iter().map(|m| m.to.as_str()).collect();
    assert_eq!(to, ["ann0@example.com", "ann1@example.com", "ann2@example.com"]);
    assert!(
        messages
            .iter()
            .all(|m| m.raw == EMAIL && m.connection == 1 && !m.tls)
    );
    assert!(
        messages
            .iter()
            .all(|m| m.from == "news@example.com" && m.parameters.is_empty())
    );
    assert_eq!(server.commands().last().unwrap().1, "QUIT");
}

#[rstest]
#[case::start_tls(TlsMode::StartTls)]
#[case::implicit(TlsMode::Implicit)]
#[tokio::test]
async fn encrypted(#[case] mode: TlsMode, #[values("PLAIN LOGIN", "LOGIN")] mechanisms: &'static str) {
    let certs = Certs::make();
    let tls = match mode {
        TlsMode::Implicit => Tls::Implicit(certs.acceptor()),
        _ => Tls::StartTls(certs.acceptor()),
    };
    let auth = Some(("us\u{e9}r", "p\u{e4}ss w0rd"));
    let server = SmtpServer::start(Options {
        tls,
        auth,
        mechanisms,
        ..Options::default()
    })
    .await;
    let credentials = auth.map(|(user, password)| (user.to_owned(), password.to_owned().into()));
    let config = RelayConfig {
        credentials,
        ..with_tls(&server, &certs, mode)
    };
    let mut conversation = connect(&config).await.unwrap();
    assert!(conversation.is_encrypted());
    for _ in 0..2 {
        let handover = send(&mut conversation, "ann@example.com").await;
        assert!(matches!(handover, Handover::Accepted(_)), "{handover:?}");
    }
    conversation.quit().await;
    let messages = server.messages();
    assert_eq!(messages.len(), 2);
    assert!(
        messages
            .iter()
            .all(|m| m.tls && m.raw == EMAIL && m.user.as_deref() == Some("us\u{e9}r"))
    );
}

#[tokio::test]
async fn a_long_password_goes_after_the_challenge() {
    let certs = Certs::make();
    let password: &'static str = Box::leak("x".repeat(600).into_boxed_str());
    let options = Options {
        tls: Tls::Implicit(certs.acceptor()),
        auth: Some(("ann", password)),
        mechanisms: "PLAIN",
        ..Options::default()
    };
    let server = SmtpServer::start(options).await;
    let config = RelayConfig {
        credentials: Some(("ann".into(), password.to_owned().into())),
        ..with_tls(&server, &certs, TlsMode::Implicit)
    };
    assert!(connect(&config).await.is_ok());
    assert!(server.commands().iter().any(|(_, line)| line == "AUTH PLAIN"));
}

#[tokio::test]
async fn wrong_password_or_no_mechanism_is_a_fault_of_the_sender() {
    for (mechanisms, cause) in [("PLAIN", 535), ("LOGIN", 535), ("CRAM-MD5", 0), ("", 0)] {
        let auth = Some(("ann", "right"));
        let server = SmtpServer::start(Options {
            auth,
            mechanisms,
            ..Options::default()
        })
        .await;
        let credentials = Some(("ann".to_owned(), "wr0ng-secret".to_owned().into()));
        let fault = fault(&RelayConfig {
            credentials,
            ..config(&server)
        })
        .await;
        assert_eq!((fault.phase, code(fault.reply())), (Phase::Auth, cause));
        assert!(fault.blames_sender());
        assert!(!format!("{fault} {fault:?}").contains("wr0ng"));
    }
}

#[tokio::test]
async fn a_password_never_travels_in_plain_text() {
    let server = SmtpServer::start(Options::default()).await;
    let config = RelayConfig {
        host: "relay.example.com".into(),
        credentials: Some(("ann".into(), "s3cret".to_owned().into())),
        ..config(&server)
    };
    let error = Relay::new(&config).unwrap_err();
    assert!(matches!(error, RelayConfigError::PlainCredentials));
    assert!(
        Relay::new(&RelayConfig {
            tls: TlsMode::StartTls,
            ..config
        })
        .is_ok()
    );
}

#[rstest]
#[case::start_tls(TlsMode::StartTls)]
#[case::implicit(TlsMode::Implicit)]
#[tokio::test]
async fn an_unknown_authority_or_name_is_not_trusted(#[case] mode: TlsMode) {
    let (certs, others) = (Certs::make(), Certs::make());
    let elsewhere = Certs::make_for("DNS:relay.example.com");
    for (server_side, trusted) in [(&certs, &others), (&elsewhere, &elsewhere)] {
        let acceptor = server_side.acceptor();
        let tls = match mode {
            TlsMode::Implicit => Tls::Implicit(acceptor),
            _ => Tls::StartTls(acceptor),
        };
        let server = SmtpServer::start(Options {
            tls,
            ..Options::default()
        })
        .await;
        let fault = fault(&with_tls(&server, trusted, mode)).await;
        assert_eq!(fault.phase, Phase::Tls);
        assert!(matches!(fault.cause, FaultCause::Tls(_)), "{fault}");
        assert!(
            server
                .commands()
                .iter()
                .all(|(_, line)| !line.starts_with("MAIL"))
        );
    }
}

#[tokio::test]
async fn without_starttls_nothing_is_sent() {
    let certs = Certs::make();
    let server = SmtpServer::start(Options {
        mechanisms: "PLAIN",
        ..Options::default()
    })
    .await;
    let config = RelayConfig {
        credentials: Some(("ann".into(), "s3cret".to_owned().into())),
        ..with_tls(&server, &certs, TlsMode::StartTls)
    };
    let stripped = fault(&config).await;
    assert_eq!(
        stripped,
        Fault {
            phase: Phase::Tls,
            cause: FaultCause::NoStartTls
        }
    );
    let verbs: Vec<_> = server
        .commands()
        .iter()
        .map(|(_, line)| line[..4].to_owned())
        .collect();
    assert_eq!(verbs, ["EHLO"]);
}

#[rstest]
#[case("454 4.7.0 not now", 454)]
#[case("502 5.5.1 not here", 502)]
#[tokio::test]
async fn a_refused_starttls_is_no_fallback(#[case] reply: &'static str, #[case] refused: u16) {
    let certs = Certs::make();
    let options = Options {
        tls: Tls::StartTls(certs.acceptor()),
        ..Options::default()
    };
    let server = SmtpServer::start(options.at(At::StartTls, Action::Reply(reply))).await;
    let fault = fault(&with_tls(&server, &certs, TlsMode::StartTls)).await;
    assert_eq!((fault.phase, code(fault.reply())), (Phase::Tls, refused));
}

/// Somebody in the middle adds replies behind the one to STARTTLS.
#[tokio::test]
async fn what_was_said_before_tls_does_not_survive_it() {
    let certs = Certs::make();
    for injected in [
        "250 evil\r\n",
        "250-evil\r\n250-AUTH PLAIN\r\n250 x\r\n235 welcome\r\n",
        "2",
    ] {
        let options = Options {
            tls: Tls::StartTls(certs.acceptor()),
            ..Options::default()
        };
        let server = SmtpServer::start(options.at(At::StartTls, Action::Inject(injected))).await;
        let fault = fault(&with_tls(&server, &certs, TlsMode::StartTls)).await;
        assert_eq!(fault.phase, Phase::Tls);
        assert!(
            matches!(fault.cause, FaultCause::Protocol(_) | FaultCause::Tls(_)),
            "{fault}"
        );
        assert_eq!(server.commands().len(), 2);
    }
}

#[rstest]
#[case(At::Greeting, "421 4.3.2 closing", Phase::Greeting, 421, false)]
#[case(At::Greeting, "554 5.7.1 go away", Phase::Greeting, 554, false)]
#[case(At::Greeting, "354 what", Phase::Greeting, 0, false)]
#[case(At::Greeting, "hello", Phase::Greeting, 0, false)]
#[case(At::Hello, "421 4.3.2 closing", Phase::Hello, 421, false)]
#[case(At::Hello, "451 4.3.0 later", Phase::Hello, 451, false)]
#[case(At::Hello, "550 5.7.1 go away", Phase::Hello, 550, true)]
#[case(At::Hello, "250-a\r\n251 b", Phase::Hello, 0, false)]
#[case(At::Auth, "454 4.7.0 later", Phase::Auth, 454, false)]
#[case(At::Auth, "530 5.7.0 TLS first", Phase::Auth, 530, true)]
#[case(At::Auth, "535 5.7.8 no", Phase::Auth, 535, true)]
#[case(At::Auth, "334 more", Phase::Auth, 0, false)]
#[tokio::test]
async fn opening(
    #[case] at: At,
    #[case] reply: &'static str,
    #[case] phase: Phase,
    #[case] replied: u16,
    #[case] senders: bool,
) {
    let options = Options {
        mechanisms: "PLAIN",
        ..Options::default()
    };
    let server = SmtpServer::start(options.at(at, Action::Reply(reply))).await;
    let credentials = Some(("ann".to_owned(), "s3cret".to_owned().into()));
    let fault = fault(&RelayConfig {
        credentials,
        ..config(&server)
    })
    .await;
    assert_eq!(
        (fault.phase, code(fault.reply()), fault.blames_sender()),
        (phase, replied, senders)
    );
}

#[tokio::test]
async fn odd_offers_are_read_or_ignored() {
    let odd = "250-relay\r\n250- \r\n250-\r\n250-smtputf8\r\n250-Auth=plain\r\n250";
    let server = SmtpServer::start(Options::default().at(At::Hello, Action::Reply(odd))).await;
    let credentials = Some(("ann".to_owned(), "x".to_owned().into()));
    let mut conversation = connect(&RelayConfig {
        credentials,
        ..config(&server)
    })
    .await
    .unwrap();
    let handover = send(&mut conversation, "jos\u{e9}@example.com").await;
    assert!(matches!(handover, Handover::Accepted(_)));
    assert_eq!(server.messages()[0].parameters, "SMTPUTF8");
}

/// Each reply of the failure table: what it means, and whether the connection goes on.
#[rstest]
#[case(At::Mail, "421 4.3.2 closing", "unsent mail 421", false)]
#[case(At::Mail, "451 4.3.0 later", "unsent mail 451", true)]
#[case(At::Mail, "550 5.7.1 not you", "unsent mail 550", true)]
#[case(At::Mail, "530 5.7.0 AUTH first", "unsent mail 530", true)]
#[case(At::Mail, "552 5.3.4 too big", "for good mail 552", true)]
#[case(At::Mail, "555 5.5.4 parameters", "for good mail 555", true)]
#[case(At::Mail, "354 what", "unsent mail 0", false)]
#[case(At::Rcpt, "421 4.3.2 closing", "unsent rcpt 421", false)]
#[case(At::Rcpt, "450 4.2.0 greylisted", "for now rcpt 450", true)]
#[case(At::Rcpt, "552 5.5.3 too many", "for now rcpt 552", true)]
#[case(At::Rcpt, "550 5.1.1 unknown", "for good rcpt 550", true)]
#[case(At::Rcpt, "530 5.7.0 AUTH first", "unsent rcpt 530", true)]
#[case(At::Rcpt, "354 what", "unsent rcpt 0", false)]
#[case(At::Rcpt, "nonsense", "unsent rcpt 0", false)]
#[case(At::Data, "421 4.3.2 closing", "unsent data 421", false)]
#[case(At::Data, "451 4.3.0 later", "for now data 451", true)]
#[case(At::Data, "554 5.7.1 no", "for good data 554", true)]
#[case(At::Data, "250 what", "unsent data 0", false)]
#[case(At::Dot, "421 4.3.2 closing", "unsent dot 421", false)]
#[case(At::Dot, "452 4.3.1 full", "for now dot 452", true)]
#[case(At::Dot, "552 5.3.4 too big", "for good dot 552", true)]
#[case(At::Dot, "554 5.7.1 spam", "for good dot 554", true)]
#[case(At::Dot, "354 what", "unknown dot 0", false)]
#[case(At::Dot, "nonsense", "unknown dot 0", false)]
#[tokio::test]
async fn failure_table(
    #[case] at: At,
    #[case] reply: &'static str,
    #[case] means: &str,
    #[case] goes_on: bool,
) {
    let (handover, usable, server) = one(at, Action::Reply(reply)).await;
    let seen = match &handover {
        Handover::Accepted(_) => "accepted".to_owned(),
        Handover::RefusedForNow { phase, reply } => format!("for now {phase} {}", reply.code),
        Handover::RefusedForGood { phase, refusal } => format!("for good {phase} {}", code(refusal.reply())),
        Handover::Unsent(fault) => format!("unsent {} {}", fault.phase, code(fault.reply())),
        Handover::Unknown(fault) => format!("unknown {} {}", fault.phase, code(fault.reply())),
    };
    assert_eq!((seen.as_str(), usable), (means, goes_on), "{handover:?}");
    assert!(server.messages().is_empty());
}

#[rstest]
#[case(At::Mail, Phase::Mail)]
#[case(At::Rcpt, Phase::Rcpt)]
#[case(At::Data, Phase::Data)]
#[case(At::Dot, Phase::Dot)]
#[tokio::test]
async fn silence_and_hanging_up(#[case] at: At, #[case] phase: Phase) {
    for (action, cause) in [
        (Action::Close, FaultCause::Closed),
        (Action::Hang, FaultCause::Timeout(LIMIT)),
    ] {
        let begin = Instant::now();
        let (handover, usable, _server) = one(at, action).await;
        let fault = Fault { phase, cause };
        let means = if phase == Phase::Dot {
            Handover::Unknown(fault)
        } else {
            Handover::Unsent(fault)
        };
        assert_eq!((handover, usable), (means, false));
        assert!(begin.elapsed() < LIMIT * 10);
    }
}

#[rstest]
#[case(At::Connect, TlsMode::None, Phase::Greeting)]
#[case(At::Greeting, TlsMode::None, Phase::Greeting)]
#[case(At::Connect, TlsMode::Implicit, Phase::Tls)]
#[case(At::StartTls, TlsMode::StartTls, Phase::Tls)]
#[case(At::Hello, TlsMode::None, Phase::Hello)]
#[case(At::Auth, TlsMode::None, Phase::Auth)]
#[tokio::test]
async fn silence_and_hanging_up_while_opening(#[case] at: At, #[case] tls: TlsMode, #[case] phase: Phase) {
    let certs = Certs::make();
    for (action, hangs) in [(Action::Close, false), (Action::Hang, true)] {
        let begin = Instant::now();
        let offered = match tls {
            TlsMode::None => Tls::No,
            TlsMode::StartTls => Tls::StartTls(certs.acceptor()),
            TlsMode::Implicit => Tls::Implicit(certs.acceptor()),
        };
        let options = Options {
            tls: offered,
            mechanisms: "PLAIN",
            ..Options::default()
        };
        let server = SmtpServer::start(options.at(at, action)).await;
        let credentials = Some(("ann".to_owned(), "x".to_owned().into()));
        let tls_ca = Some(certs.ca());
        let fault = fault(&RelayConfig {
            tls,
            tls_ca,
            credentials,
            ..impatient(&server)
        })
        .await;
        assert_eq!(fault.phase, phase, "{fault}");
        assert_eq!(fault.cause == FaultCause::Timeout(LIMIT), hangs, "{fault}");
        assert!(begin.elapsed() < LIMIT * 10);
    }
}

/// It knows HELO and nothing that was invented since.
#[rstest]
#[case(TlsMode::None, None)]
#[case(TlsMode::StartTls, Some(FaultCause::NoStartTls))]
#[tokio::test]
async fn a_relay_of_old(#[case] tls: TlsMode, #[case] lacks: Option<FaultCause>) {
    let options = Options {
        offers: &["PIPELINING", "SIZE"],
        ..Options::default()
    };
    let script = |event: &Event| {
        event
            .line
            .starts_with("EHLO")
            .then_some(Action::Reply("502 5.5.1 what?"))
    };
    let server = SmtpServer::start(options.script(script)).await;
    let certs = Certs::make();
    let config = RelayConfig {
        tls,
        tls_ca: Some(certs.ca()),
        ..config(&server)
    };
    let connected = connect(&config).await;
    if lacks.is_some() {
        assert_eq!(connected.err().map(|fault| fault.cause), lacks);
        return;
    }
    let handover = send(&mut connected.expect("a conversation"), "ann@example.com").await;
    assert!(matches!(handover, Handover::Accepted(_)), "{handover:?}");
    assert_eq!(server.messages()[0].parameters, "");
}

#[tokio::test]
async fn nobody_there() {
    let server = SmtpServer::start(Options::default()).await;
    let config = config(&server);
    drop(server);
    tokio::task::yield_now().await;
    let refused = async {
        loop {
            match connect(&config).await {
                Err(fault) if fault.phase == Phase::Connect => return fault,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let fault = tokio::time::timeout(Duration::from_secs(10), refused)
        .await
        .unwrap();
    assert!(matches!(fault.cause, FaultCause::Io(_)), "{fault}");
    let unknown = RelayConfig {
        host: "no-such-host.invalid".into(),
        ..config
    };
    let fault = self::fault(&unknown).await;
    assert_eq!(fault.phase, Phase::Connect);
    assert!(matches!(fault.cause, FaultCause::Unresolved(_)), "{fault}");
}

#[tokio::test]
async fn a_dot_without_reply_is_unknown_although_the_e_mail_arrived() {
    for action in [Action::AcceptAndClose, Action::AcceptAndHang] {
        let (handover, usable, server) = one(At::Dot, action).await;
        assert!(matches!(&handover, Handover::Unknown(fault) if fault.phase == Phase::Dot));
        assert!(!usable);
        assert_eq!(server.wait_for(1, LIMIT * 20).await.len(), 1);
    }
}

#[tokio::test]
async fn replies_never_shift_after_a_refusal() {
    let server = SmtpServer::start(Options::default()).await;
    let mut conversation = connect(&config(&server)).await.unwrap();
    let mut seen = Vec::new();
    for to in ["perm1", "ann", "temp1", "bob", "temp1", "perm2", "temp1"] {
        seen.push(
            match send(&mut conversation, &format!("{to}@example.com")).await {
                Handover::Accepted(_) => "accepted",
                Handover::RefusedForNow { .. } => "for now",
                Handover::RefusedForGood { .. } => "for good",
                other => panic!("{other:?}"),
            },
        );
    }
    let wanted = [
        "for good", "accepted", "for now", "accepted", "for now", "for good", "accepted",
    ];
    assert_eq!(seen, wanted);
    assert_eq!(server.connections(), 1);
    let to: Vec<_> = server.messages().into_iter().map(|m| m.to).collect();
    assert_eq!(to, ["ann@example.com", "bob@example.com", "temp1@example.com"]);
    let temp: Vec<_> = server
        .attempts()
        .into_iter()
        .filter(|a| a.at == At::Rcpt && a.to.starts_with("temp"))
        .map(|a| a.reply[..3].to_owned())
        .collect();
    assert_eq!(temp, ["451", "451", "250"]);
}

#[tokio::test]
async fn a_late_reply_is_nobodys_reply() {
    let options = Options::default().script(|event| {
        let slow = event.at == At::Rcpt && event.recipient.starts_with("slow");
        slow.then_some(Action::Delay(LIMIT + LIMIT / 2))
    });
    let server = SmtpServer::start(options).await;
    let mut conversation = connect(&impatient(&server)).await.unwrap();
    let late = send(&mut conversation, "slow@example.com").await;
    assert!(matches!(late, Handover::Unsent(fault) if fault.cause == FaultCause::Timeout(LIMIT)));
    tokio::time::sleep(LIMIT).await;
    let next = send(&mut conversation, "perm@example.com").await;
    assert!(matches!(next, Handover::Unsent(fault) if fault.cause == FaultCause::Unusable));
}

#[tokio::test]
async fn a_wait_that_is_dropped_loses_nothing() {
    let slow = Action::Delay(Duration::from_millis(200));
    let server = SmtpServer::start(Options::default().at(At::Rcpt, slow)).await;
    let mut conversation = connect(&config(&server)).await.unwrap();
    let handover = send(&mut conversation, "ann@example.com");
    let short = Duration::from_millis(50);
    assert!(tokio::time::timeout(short, handover).await.is_err());
    let handover = only(conversation.advance(|_| true).await);
    assert!(matches!(handover, Handover::Accepted(_)), "{handover:?}");
    assert_eq!(server.messages().len(), 1);
}

#[tokio::test]
async fn leave_is_taken_of_a_relay_that_hangs() {
    let server = SmtpServer::start(Options::default().at(At::Rcpt, Action::Hang)).await;
    let mut conversation = connect(&config(&server)).await.unwrap();
    let handover = send(&mut conversation, "ann@example.com");
    let short = Duration::from_millis(50);
    assert!(tokio::time::timeout(short, handover).await.is_err());
    let begin = Instant::now();
    conversation.quit().await;
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[rstest]
#[case(At::Rcpt, "550 5.1.1 stray\r\n")]
#[case(At::Dot, "250 2.0.0 stray\r\n")]
#[case(At::Dot, "2")]
#[tokio::test]
async fn an_unasked_reply_ends_the_conversation(#[case] at: At, #[case] stray: &'static str) {
    let (first, _, server) = one(at, Action::Inject(stray)).await;
    if at == At::Rcpt {
        assert!(
            matches!(&first, Handover::Unsent(f) if f.phase == Phase::Data),
            "{first:?}"
        );
        assert!(server.messages().is_empty());
        return;
    }
    assert!(matches!(first, Handover::Accepted(_)));
    let mut conversation = connect(&config(&server)).await.unwrap();
    send(&mut conversation, "ann@example.com").await;
    let second = send(&mut conversation, "bob@example.com").await;
    let Handover::Unsent(fault) = second else {
        panic!("{second:?}")
    };
    assert!(matches!(fault.cause, FaultCause::Protocol(_)), "{fault}");
    assert!(!conversation.is_usable());
}

/// What a relay says before it hangs up on an idle client.
#[tokio::test]
async fn a_farewell_between_e_mails_is_no_recipients_fault() {
    let stray = "421 4.4.2 idle too long\r\n";
    let server = SmtpServer::start(Options::default().at(At::Dot, Action::Inject(stray))).await;
    let mut conversation = connect(&config(&server)).await.unwrap();
    assert!(matches!(
        send(&mut conversation, "ann@example.com").await,
        Handover::Accepted(_)
    ));
    let second = send(&mut conversation, "bob@example.com").await;
    assert!(matches!(second, Handover::Unsent(fault) if code(fault.reply()) == 421));
    assert_eq!(server.messages().len(), 1);
}

#[rstest]
#[case(&["SMTPUTF8", "8BITMIME"], "SMTPUTF8 BODY=8BITMIME")]
#[case(&["SMTPUTF8"], "SMTPUTF8")]
#[tokio::test]
async fn utf8_addresses_where_offered(#[case] offers: &'static [&'static str], #[case] parameters: &str) {
    let server = SmtpServer::start(Options {
        offers,
        ..Options::default()
    })
    .await;
    let mut conversation = connect(&config(&server)).await.unwrap();
    for to in ["jos\u{e9}@example.com", "ann@example.com"] {
        assert!(matches!(send(&mut conversation, to).await, Handover::Accepted(_)));
    }
    let messages = server.messages();
    assert_eq!(
        (messages[0].to.as_str(), messages[0].parameters.as_str()),
        ("jos\u{e9}@example.com", parameters)
    );
    assert_eq!(messages[1].parameters, "");
}

#[tokio::test]
async fn utf8_addresses_where_not_offered() {
    let server = SmtpServer::start(Options {
        offers: &["8BITMIME"],
        ..Options::default()
    })
    .await;
    let mut conversation = connect(&config(&server)).await.unwrap();
    let to = send(&mut conversation, "jos\u{e9}@example.com").await;
    assert_eq!(
        to,
        Handover::RefusedForGood {
            phase: Phase::Rcpt,
            refusal: Refusal::NoSmtpUtf8
        }
    );
    let from = address("zo\u{eb}@example.com");
    let from = hand_over(&mut conversation, &from, &address("ann@example.com"), EMAIL).await;
    assert!(matches!(from, Handover::Unsent(fault) if fault.blames_sender()));
    assert!(matches!(
        send(&mut conversation, "ann@example.com").await,
        Handover::Accepted(_)
    ));
    assert_eq!(server.messages().len(), 1);
}

#[tokio::test]
async fn withheld_before_the_dot_nothing_is_handed_over() {
    let server = SmtpServer::start(Options::default()).await;
    let mut conversation = connect(&config(&server)).await.unwrap();
    let (from, to) = (address("news@example.com"), address("ann@example.com"));
    conversation.add(parcel(&from, &to, EMAIL));
    let handover = only(conversation.advance(|_| false).await);
    assert!(matches!(handover, Handover::Unsent(fault) if fault.cause == FaultCause::Withheld));
    assert!(!conversation.is_usable());
    conversation.quit().await;
    assert!(server.messages().is_empty());
}

/// A relay that stops reading in the middle of a big e-mail has certainly not seen its dot.
#[tokio::test]
async fn a_big_e_mail_that_is_cut_off_before_its_dot_is_unsent() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let relay = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(b"220 x\r\n").await.unwrap();
        for reply in ["250 ehlo", "250 mail", "250 rcpt", "354 data"] {
            let mut buffer = [0; 512];
            assert!(tcp.read(&mut buffer).await.unwrap() > 0);
            tcp.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    let server = SmtpServer::start(Options::default()).await;
    let mut conversation = connect(&RelayConfig {
        port,
        ..impatient(&server)
    })
    .await
    .unwrap();
    let email = b"x".repeat(32 << 20);
    let (from, to) = (address("news@example.com"), address("ann@example.com"));
    let handover = hand_over(&mut conversation, &from, &to, &email).await;
    let fault = Fault {
        phase: Phase::Data,
        cause: FaultCause::Timeout(LIMIT),
    };
    assert_eq!(handover, Handover::Unsent(fault));
    assert!(!conversation.is_usable());
    relay.abort();
}

#[tokio::test]
async fn a_reply_without_end_is_a_protocol_fault() {
    let endless: &'static str = Box::leak("250-x\r\n".repeat(20_000).into_boxed_str());
    let server = SmtpServer::start(Options::default().at(At::Hello, Action::Reply(endless))).await;
    let fault = fault(&config(&server)).await;
    assert_eq!(fault.phase, Phase::Hello);
    assert!(matches!(fault.cause, FaultCause::Protocol(_)), "{fault}");
}

/// A relay that goes down says so once and hangs up; the next connection starts afresh.
#[tokio::test]
async fn a_relay_that_goes_down_and_comes_back() {
    let options = Options::default().script(|event| {
        let down = event.at == At::Rcpt && event.connection == 1;
        down.then_some(Action::ReplyAndClose("421 4.3.2 going down"))
    });
    let server = SmtpServer::start(options).await;
    let mut first = connect(&config(&server)).await.unwrap();
    let handover = send(&mut first, "ann@example.com").await;
    assert!(matches!(handover, Handover::Unsent(fault) if code(fault.reply()) == 421));
    assert!(!first.is_usable());
    first.quit().await;
    let mut second = connect(&config(&server)).await.unwrap();
    assert!(matches!(
        send(&mut second, "ann@example.com").await,
        Handover::Accepted(_)
    ));
    assert_eq!(server.messages().len(), 1);
}

#[tokio::test]
async fn what_is_offered_under_tls_counts() {
    let certs = Certs::make();
    let options = Options {
        tls: Tls::StartTls(certs.acceptor()),
        ..Options::default()
    };
    let options = options.script(|event| {
        let hello = event.at == At::Hello && !event.tls;
        hello.then_some(Action::Reply("250-relay\r\n250-SMTPUTF8\r\n250 STARTTLS"))
    });
    let server = SmtpServer::start(options).await;
    let mut conversation = connect(&with_tls(&server, &certs, TlsMode::StartTls))
        .await
        .unwrap();
    let handover = send(&mut conversation, "jos\u{e9}@example.com").await;
    assert!(matches!(
        handover,
        Handover::RefusedForGood {
            refusal: Refusal::NoSmtpUtf8,
            ..
        }
    ));
}

#[tokio::test]
async fn a_reset_that_fails_changes_no_outcome() {
    let options = Options::default().script(|event| (event.line == "RSET").then_some(Action::Close));
    let server = SmtpServer::start(options).await;
    let mut conversation = connect(&config(&server)).await.unwrap();
    let handover = send(&mut conversation, "perm@example.com").await;
    assert!(matches!(handover, Handover::RefusedForGood { .. }));
    let next = send(&mut conversation, "ann@example.com").await;
    assert!(matches!(next, Handover::Unsent(_)), "{next:?}");
    assert!(!conversation.is_usable());
}
