//! `/ws`: what happens, pushed to pages and programs. Who may see the API may see this, and no page of another
//! origin. A client costs a few kilobytes while it is idle, and holds nobody up: whoever does not read is let go.

use std::time::Duration;

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use url::form_urlencoded;

use super::Api;
use super::auth;
use super::origin;
use super::problem::Problem;
use super::server::Place;
use crate::live::Subscription;
use crate::metrics::Metrics;

/// Between two pings; a client that has not answered one by the next is gone.
const PING: Duration = Duration::from_secs(30);

/// For one message to leave: longer means that the client does not read.
const WRITE: Duration = Duration::from_secs(10);

/// For the last words.
const FAREWELL: Duration = Duration::from_secs(1);

/// Longest message that a client may send; none of them means anything.
const MAX_MESSAGE: usize = 4 * 1024;

/// Bytes that each direction of an idle client holds.
const BUFFER: usize = 1024;

/// What a client may offer in `Sec-WebSocket-Protocol`, before its token.
const PROTOCOL: &str = "bearer";

/// `GET /ws`
pub(super) async fn live(
    State(api): State<Api>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    place: Option<Extension<Place>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    if !auth::brings_token(&api, &headers) && !auth::offers_token(&api, &headers, PROTOCOL) {
        return Err(Problem::unauthorized());
    }
    if !origin::is_welcome(&headers, &api.allowed_origins) {
        return Err(Problem::foreign_origin());
    }
    let since = since(query.as_deref().unwrap_or_default())?;
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(refused) => return Err(Problem::no_websocket(refused.status(), &refused.body_text())),
    };
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .read_buffer_size(BUFFER)
        .write_buffer_size(0);
    let answer = upgrade.on_upgrade(move |socket| async move {
        let _place = place;
        let subscription = api.live.subscribe(since);
        let _counted = Counted::new(api.live.metrics().clone());
        drop(api);
        attend(socket, subscription).await;
    });
    Ok(answer.into_response())
}

fn since(query: &str) -> Result<Option<u64>, Problem> {
    let mut since = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name != "since" {
            return Err(Problem::bad_query(&name, "is not a parameter of this address"));
        }
        if since.is_some() {
            return Err(Problem::bad_query(&name, "may be given once"));
        }
        // `+1` and the like are numbers to the library.
        let number = value
            .parse()
            .ok()
            .filter(|_| value.bytes().all(|b| b.is_ascii_digit()));
        since = Some(number.ok_or_else(|| Problem::bad_query(&name, "takes the number of an event, or 0"))?);
    }
    Ok(since)
}

/// A client as long as it is there.
struct Counted(Metrics);

impl Counted {
    fn new(metrics: Metrics) -> Self {
        metrics.websocket_clients(true);
        Self(metrics)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.websocket_clients(false);
    }
}

/// One client's life.
async fn attend(mut socket: WebSocket, subscription: Subscription) {
    let Subscription {
        missed,
        mut coming,
        ended,
    } = subscription;
    for text in missed {
        if !send(&mut socket, Message::text(&*text)).await {
            return;
        }
    }
    let mut pings = interval_at(Instant::now() + PING, PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut alive = true;
    loop {
        tokio::select! {
            event = coming.recv() => match event {
                Ok(text) => {
                    if !send(&mut socket, Message::text(&*text)).await {
                        return;
                    }
                }
                Err(RecvError::Lagged(_)) => return part(socket, close_code::AGAIN, "too far behind").await,
                Err(RecvError::Closed) => return,
            },
            () = ended.cancelled() => return part(socket, close_code::AWAY, "Herald stops").await,
            heard = socket.recv() => match heard {
                Some(Ok(Message::Pong(_))) => alive = true,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_))) => {}
            },
            _ = pings.tick() => {
                if !std::mem::take(&mut alive) {
                    return part(socket, close_code::POLICY, "no answer to a ping").await;
                }
                if !send(&mut socket, Message::Ping(Bytes::new())).await {
                    return;
                }
            }
        }
    }
}

/// False when the client is to be let go.
async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(WRITE, socket.send(message)).await, Ok(Ok(())))
}

async fn part(mut socket: WebSocket, code: u16, reason: &'static str) {
    let reason = Utf8Bytes::from_static(reason);
    let _ = timeout(
        FAREWELL,
        socket.send(Message::Close(Some(CloseFrame { code, reason }))),
    )
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("", Ok(None))]
    #[case("since=0", Ok(Some(0)))]
    #[case("since=18446744073709551615", Ok(Some(u64::MAX)))]
    #[case("since=", Err(()))]
    #[case("since=-1", Err(()))]
    #[case("since=%2B1", Err(()))]
    #[case("since=1&since=1", Err(()))]
    #[case("token=secret", Err(()))]
    fn what_may_be_asked(#[case] query: &str, #[case] expected: Result<Option<u64>, ()>) {
        assert_eq!(since(query).map_err(drop), expected);
    }
}
