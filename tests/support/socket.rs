//! A client of `/ws`.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::rabbit::within;
use super::worker::Worker;

/// An open WebSocket.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// What the server chose.
    pub protocol: Option<String>,
}

/// Opens `/ws` with these headers; the status where that is refused.
pub async fn open(worker: &Worker, query: &str, headers: &[(&str, &str)]) -> Result<Socket, u16> {
    open_with(worker, query, headers, None).await
}

/// The same with so many bytes that the system takes before it is read.
pub async fn open_with(
    worker: &Worker,
    query: &str,
    headers: &[(&str, &str)],
    buffer: Option<u32>,
) -> Result<Socket, u16> {
    let url = worker.url(&format!("/ws{query}")).replace("http://", "ws://");
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        let (name, value): (HeaderName, HeaderValue) = (name.parse().unwrap(), value.parse().unwrap());
        request.headers_mut().insert(name, value);
    }
    let address = request.uri().authority().unwrap().as_str().parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(buffer) = buffer {
        socket.set_recv_buffer_size(buffer).unwrap();
    }
    let tcp = within(socket.connect(address)).await.unwrap();
    let small = WebSocketConfig::default().read_buffer_size(1024);
    match within(client_async_with_config(request, tcp, Some(small))).await {
        Ok((stream, answer)) => Ok(Socket {
            stream,
            protocol: chosen(&answer),
        }),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

fn chosen<T>(answer: &Response<T>) -> Option<String> {
    let chosen = answer.headers().get("sec-websocket-protocol")?;
    Some(chosen.to_str().unwrap().to_owned())
}

impl Socket {
    /// The next event.
    pub async fn next(&mut self) -> Value {
        loop {
            match within(self.stream.next()).await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// All events up to the first that `last` holds true of, that one included.
    pub async fn until(&mut self, last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            let found = last(&event);
            events.push(event);
            if found {
                return events;
            }
        }
    }

    /// All events up to the first of this type, that one included.
    pub async fn until_type(&mut self, kind: &str) -> Vec<Value> {
        self.until(|event| event["type"] == kind).await
    }

    /// Whether nothing comes for so long.
    pub async fn is_silent(&mut self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.next()).await.is_err()
    }

    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.stream.send(message).await
    }

    /// Waits for the server's end of it; the code, if it said one.
    pub async fn end(&mut self) -> Option<u16> {
        loop {
            match within(self.stream.next()).await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}
