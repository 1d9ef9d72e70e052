//! The scripted SMTP server itself, where no client of ours asks that much of it yet.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::smtp::{Action, At, Options, SmtpServer};

const ENVELOPE: &str = "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n";

fn chunking() -> Options {
    Options {
        offers: &["PIPELINING", "CHUNKING"],
        ..Options::default()
    }
}

/// Sends all in one write and gives the first digits of all replies up to the end of the connection.
async fn codes(server: &SmtpServer, text: &str) -> (Vec<String>, std::io::Result<()>) {
    let mut tcp = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    tcp.write_all(text.as_bytes()).await.unwrap();
    let mut replies = Vec::new();
    let end = tcp.read_to_end(&mut replies).await.map(drop);
    let replies = String::from_utf8(replies).unwrap();
    let last = replies.lines().filter(|l| l.as_bytes().get(3) == Some(&b' '));
    (last.map(|l| l[..3].to_owned()).collect(), end)
}

#[tokio::test]
async fn commands_chunks_and_bodies_in_one_write_are_taken_one_by_one() {
    let server = SmtpServer::start(chunking()).await;
    let all = format!(
        "EHLO me\r\n{ENVELOPE}BDAT 6\r\na\r\n.\r\nBDAT 3 LAST\r\nb\r\n{ENVELOPE}DATA\r\n..c\r\n.\r\nQUIT\r\n"
    );
    let (replies, _) = codes(&server, &all).await;
    assert_eq!(replies.join(" "), "220 250 250 250 250 250 250 250 354 250 221");
    let raw: Vec<_> = server.messages().into_iter().map(|m| m.raw).collect();
    assert_eq!(raw, [&b"a\r\n.\r\nb\r\n"[..], b".c\r\n"]);
}

#[tokio::test]
async fn the_octets_of_a_refused_chunk_are_no_commands() {
    let options = chunking().at(At::Rcpt, Action::Reply("450 4.2.1 later"));
    let server = SmtpServer::start(options).await;
    let (replies, _) = codes(
        &server,
        &format!("EHLO me\r\n{ENVELOPE}BDAT 6 LAST\r\nQUIT\r\nQUIT\r\n"),
    )
    .await;
    assert_eq!(replies.join(" "), "220 250 250 450 503 221");
    assert!(server.messages().is_empty());
}

#[tokio::test]
async fn a_reset_is_no_orderly_end() {
    for (action, accepted) in [(Action::Reset, 0), (Action::AcceptAndReset, 1)] {
        let server = SmtpServer::start(chunking().at(At::Dot, action)).await;
        let (_, end) = codes(&server, &format!("EHLO me\r\n{ENVELOPE}BDAT 3 LAST\r\nb\r\n")).await;
        assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(server.messages().len(), accepted);
    }
}

#[tokio::test]
async fn a_dribbled_reply_is_the_usual_one() {
    let options = chunking().script(|_| Some(Action::Dribble(Duration::from_millis(1))));
    let server = SmtpServer::start(options).await;
    let (replies, _) = codes(
        &server,
        &format!("EHLO me\r\n{ENVELOPE}BDAT 3 LAST\r\nb\r\nQUIT\r\n"),
    )
    .await;
    assert_eq!(replies.join(" "), "220 250 250 250 250 221");
    assert_eq!(server.messages().len(), 1);
}
