//! Posts to servers that answer what they are told, and misbehave.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use rstest::rstest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{Posted, Webhook};
use crate::config::WebhookUrl;
use crate::outside::{OutsideError, Trust};

const BODY: &[u8] = br#"{"text":"Hello"}"#;
const SECRET: &str = "s3cr3tt0ken";

/// For a post; what is to end earlier takes no time at all.
const LIMIT: Duration = Duration::from_secs(10);

/// What a server does after it has read a request.
#[derive(Clone)]
enum Then {
    Answer(String),
    Close,
    Hang,
    /// This head, and then bytes without end.
    Endless(&'static str),
    /// This head, and then nothing.
    HalfAnswer(&'static str),
}

/// A server that does the same to each request, and keeps them.
struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (kept, then) = (Arc::clone(&kept), then.clone());
                // A client that goes away ends its connection, and nothing else.
                tokio::spawn(async move { drop(serve(tcp, &then, &kept).await) });
            }
        });
        Self { port, requests, task }
    }

    async fn answering(answer: &str) -> Self {
        Self::start(Then::Answer(answer.replace('\n', "\r\n"))).await
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn webhook(&self) -> Webhook {
        webhook(self.port, LIMIT)
    }

    async fn post(&self) -> Posted {
        let webhook = self.webhook();
        let posted = webhook.post(BODY.to_vec(), || true).await;
        for shown in [format!("{posted:?}"), format!("{webhook:?}")] {
            assert!(!shown.contains(SECRET), "{shown}");
        }
        posted
    }
}

async fn serve(mut tcp: TcpStream, then: &Then, kept: &Mutex<Vec<String>>) -> std::io::Result<()> {
    loop {
        let mut request = Vec::new();
        while !is_whole(&request) {
            if tcp.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let request = String::from_utf8_lossy(&request).into_owned();
        kept.lock().unwrap().push(request);
        match then {
            Then::Answer(answer) => tcp.write_all(answer.as_bytes()).await?,
            Then::Close => return Ok(()),
            Then::Hang => std::future::pending().await,
            Then::Endless(head) => {
                tcp.write_all(head.as_bytes()).await?;
                loop {
                    tcp.write_all(&[b'x'; 1000]).await?;
                }
            }
            Then::HalfAnswer(head) => {
                tcp.write_all(head.as_bytes()).await?;
                std::future::pending::<()>().await;
            }
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    text.split_once("\r\n\r\n")
        .is_some_and(|(_, body)| body.len() == BODY.len())
}

fn url(scheme: &str, host: &str, port: u16) -> WebhookUrl {
    let text = format!("{scheme}://{host}:{port}/services/T0/B0/{SECRET}");
    WebhookUrl::parse(
        &text,
        &["127.0.0.1", "localhost", "missing.invalid"].map(str::to_owned),
    )
    .unwrap()
}

fn webhook(port: u16, limit: Duration) -> Webhook {
    Webhook::new(url("http", "127.0.0.1", port), limit, None).unwrap()
}

/// A port that nobody listens on.
async fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn accepted() {
    let server = Server::answering("HTTP/1.1 200 OK\nContent-Length: 2\n\nok").await;
    assert_eq!(server.post().await, Posted::Accepted);
    let requests = server.requests();
    let [request] = requests.as_slice() else {
        panic!("{requests:?}")
    };
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("POST /services/T0/B0/{SECRET} HTTP/1.1\r\n")));
    let head = head.to_ascii_lowercase();
    for line in ["content-type: application/json", "content-length: 16"] {
        assert!(head.lines().any(|l| l == line), "{head}");
    }
    assert_eq!(body.as_bytes(), BODY);
}

#[tokio::test]
async fn a_connection_serves_several_posts() {
    let server = Server::answering("HTTP/1.1 200 OK\nContent-Length: 2\n\nok").await;
    let webhook = server.webhook();
    for _ in 0..3 {
        assert_eq!(webhook.post(BODY.to_vec(), || true).await, Posted::Accepted);
    }
    assert_eq!(server.requests().len(), 3);
}

#[rstest]
#[case(400, "invalid_payload", false)]
#[case(403, "action_prohibited", false)]
#[case(404, "no_service", false)]
#[case(410, "channel_is_archived", false)]
#[case(429, "rate_limited", true)]
#[case(500, "rollup_error", true)]
#[case(503, "", true)]
#[tokio::test]
async fn refusals(#[case] status: u16, #[case] text: &str, #[case] for_now: bool) {
    let answer = format!("HTTP/1.1 {status} No\nContent-Length: {}\n\n{text}", text.len());
    let server = Server::answering(&answer).await;
    let text = text.to_owned();
    let expected = if for_now {
        Posted::RefusedForNow {
            status,
            text,
            retry_after: None,
        }
    } else {
        Posted::RefusedForGood { status, text }
    };
    assert_eq!(server.post().await, expected);
}

#[rstest]
#[case("30".to_owned(), 30, 30)]
#[case("86400".to_owned(), 3600, 3600)]
#[case((Utc::now() + TimeDelta::seconds(60)).format("%a, %d %b %Y %H:%M:%S GMT").to_string(), 50, 60)]
#[tokio::test]
async fn patience_is_kept(#[case] header: String, #[case] least: u64, #[case] most: u64) {
    let answer = format!("HTTP/1.1 429 Too Many Requests\nRetry-After: {header}\nContent-Length: 0\n\n");
    match Server::answering(&answer).await.post().await {
        Posted::RefusedForNow {
            status: 429,
            retry_after: Some(wait),
            ..
        } => assert!((least..=most).contains(&wait.as_secs()), "{wait:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Server::answering("HTTP/1.1 200 OK\nContent-Length: 2\n\nok").await;
    for status in [301, 302, 303, 307, 308] {
        let to = format!("http://127.0.0.1:{}/", target.port);
        let answer = format!("HTTP/1.1 {status} Moved\nLocation: {to}\nContent-Length: 0\n\n");
        let text = "the webhook redirects, which is not followed".to_owned();
        let posted = Server::answering(&answer).await.post().await;
        assert_eq!(posted, Posted::RefusedForGood { status, text });
    }
    assert!(target.requests().is_empty());
}

#[tokio::test]
async fn no_answer_is_unknown() {
    let server = Server::start(Then::Hang).await;
    let webhook = webhook(server.port, Duration::from_millis(300));
    let posted = webhook.post(BODY.to_vec(), || true).await;
    assert_eq!(posted, Posted::Unknown("no answer within 300ms".into()));
    assert_eq!(server.requests().len(), 1);
    let posted = Server::start(Then::Close).await.post().await;
    assert!(matches!(posted, Posted::Unknown(_)), "{posted:?}");
    let posted = Server::answering("SSH-2.0-OpenSSH_9.2\n\n").await.post().await;
    assert!(matches!(posted, Posted::Unknown(_)), "{posted:?}");
}

#[tokio::test]
async fn no_connection_is_unsent() {
    let posted = webhook(closed_port().await, LIMIT)
        .post(BODY.to_vec(), || panic!("asked"))
        .await;
    assert!(
        matches!(&posted, Posted::Unsent(why) if why.contains("refused")),
        "{posted:?}"
    );
    let unresolved = Webhook::new(url("http", "missing.invalid", 80), LIMIT, None).unwrap();
    let posted = unresolved.post(BODY.to_vec(), || panic!("asked")).await;
    assert!(
        matches!(&posted, Posted::Unsent(why) if why.starts_with("missing.invalid does not resolve")),
        "{posted:?}"
    );
}

#[rstest]
#[case(Then::Close)]
#[case(Then::Hang)]
#[case(Then::Answer("220 mail.example.com ESMTP\r\n".into()))]
#[tokio::test]
async fn no_tls_is_unsent(#[case] then: Then) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        match then {
            Then::Answer(answer) => tcp.write_all(answer.as_bytes()).await.unwrap(),
            Then::Hang => std::future::pending().await,
            _ => {}
        }
    });
    let webhook = Webhook::new(url("https", "127.0.0.1", port), Duration::from_millis(500), None);
    let posted = webhook.unwrap().post(BODY.to_vec(), || panic!("asked")).await;
    assert!(matches!(posted, Posted::Unsent(_)), "{posted:?}");
    task.abort();
}

/// The client of a webhook that is not opened, for a name that points to this machine.
#[tokio::test]
async fn a_private_address_is_not_connected_to() {
    let server = Server::start(Then::Hang).await;
    let url = url("https", "localhost", server.port);
    let webhook = Webhook::build(url, LIMIT, &Trust::load(None).unwrap(), false).unwrap();
    let posted = webhook.post(BODY.to_vec(), || panic!("asked")).await;
    assert!(
        matches!(&posted, Posted::Unsent(why)
            if why.starts_with("localhost resolves to") && why.ends_with("which is not a public address")),
        "{posted:?}"
    );
}

#[tokio::test]
async fn what_is_withheld_does_not_leave() {
    let server = Server::answering("HTTP/1.1 200 OK\nContent-Length: 2\n\nok").await;
    let webhook = server.webhook();
    assert_eq!(webhook.post(BODY.to_vec(), || false).await, Posted::Withheld);
    assert_eq!(webhook.post(BODY.to_vec(), || true).await, Posted::Accepted);
    assert_eq!(server.requests().len(), 1, "the one that was let go");
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let head = "HTTP/1.1 500 No\r\n\r\n";
    match Server::start(Then::Endless(head)).await.post().await {
        Posted::RefusedForNow { text, .. } => assert_eq!(text.chars().count(), 300),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_status_decides_where_the_text_does_not_come() {
    let server = Server::start(Then::HalfAnswer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")).await;
    let webhook = webhook(server.port, Duration::from_millis(300));
    assert_eq!(webhook.post(BODY.to_vec(), || true).await, Posted::Accepted);
}

#[tokio::test]
async fn a_secret_that_is_repeated_is_struck_out() {
    let text = format!("no such\r\nhook: /services/T0/B0/{SECRET}, {SECRET}");
    let answer = format!("HTTP/1.1 404 No\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    let posted = Server::start(Then::Answer(answer)).await.post().await;
    let text = "no such hook: /***, ***".to_owned();
    assert_eq!(posted, Posted::RefusedForGood { status: 404, text });
}

#[test]
fn bad_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let error = Trust::load(Some(&path)).unwrap_err().to_string();
    assert!(error.contains("ca.pem"), "{error}");
    std::fs::write(&path, "no certificate\n").unwrap();
    assert!(matches!(Trust::load(Some(&path)), Err(OutsideError::Empty(_))));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(&path, broken).unwrap();
    assert!(matches!(
        Trust::load(Some(&path)),
        Err(OutsideError::Unreadable { .. })
    ));
}
