//! HTTP/1.1 (RFC 9112), as far as a webhook needs it.

use std::io;
use std::time::Instant;

use serde_json::Value;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};

use super::{Action, Answer, Request, Shared, check};

/// Answers the requests of one connection, one after the other.
pub(super) async fn run(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    shared: &Shared,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream, connection).await? {
        let request = record(request, shared);
        let action = shared.options.script.as_ref().and_then(|script| script(&request));
        let answer = match action {
            None => usual(&request),
            Some(Action::Answer(answer)) => answer,
            Some(Action::Close) => break,
            Some(Action::Hang) => std::future::pending().await,
            Some(Action::Delay(pause)) => {
                tokio::time::sleep(pause).await;
                usual(&request)
            }
        };
        write(&mut stream, &answer).await?;
    }
    stream.shutdown().await
}

/// What Slack would say.
fn usual(request: &Request) -> Answer {
    match &request.violation {
        None => Answer::new(200, "ok"),
        Some(violation) => Answer::new(400, violation.word),
    }
}

fn record(mut request: Request, shared: &Shared) -> Request {
    {
        let mut records = shared.records();
        request.number = records.requests.len() + 1;
        records.requests.push(request.clone());
    }
    shared.changed.notify_waiters();
    request
}

/// The next request; `None` when the client is done. One that ends early is an error, and none.
async fn read(
    stream: &mut BufReader<impl AsyncRead + Unpin>,
    connection: usize,
) -> io::Result<Option<Request>> {
    let first = line(stream).await?;
    if first.is_empty() {
        return Ok(None);
    }
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let line = line(stream).await?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let payload = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok(Some(Request {
        number: 0,
        connection,
        violation: check(&payload).err(),
        method,
        path,
        headers,
        payload,
        at: Instant::now(),
    }))
}

/// Without its end; empty at the end of the head, and at the end of the connection.
async fn line(stream: &mut BufReader<impl AsyncRead + Unpin>) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    line.truncate(line.trim_end().len());
    Ok(line)
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), answer: &Answer) -> io::Result<()> {
    let Answer {
        status,
        headers,
        body,
    } = answer;
    let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let headers: String = headers.collect();
    let length = format!("Content-Length: {}", body.len());
    let text = format!("HTTP/1.1 {status} Answer\r\n{headers}{length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await
}
