//! Connections. Each is a task of its own, so a slow client holds nobody up; how long a request's head may take
//! and how large it may be is bounded, and so is how many connections there are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::patient::Patient;
use super::{Api, router};

/// For the head of a request, from when it could begin: also how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(15);
/// Largest head, in bytes.
const MAX_HEAD: usize = 32 * 1024;
/// Connections at most, and where the system allows few files.
const CONNECTIONS: (usize, usize) = (2_048, 64);
/// What is under way at a stop gets this long.
const LAST: Duration = Duration::from_secs(5);
/// Before the next one after a connection could not be taken: mostly files are short.
const PAUSE: Duration = Duration::from_millis(100);

/// Opens the socket, so that an address that is taken is known at once.
pub async fn bind(addr: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(addr).await
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, api: Api, stop: CancellationToken) {
    let service = TowerToHyperService::new(router(api));
    let room = Arc::new(Semaphore::new(room()));
    let next = async || {
        let place = Arc::clone(&room).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, place)),
                Err(error) => {
                    tracing::debug!(%error, "a connection cannot be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    while let Some(Some((stream, place))) = stop.run_until_cancelled(next()).await {
        let (service, stop) = (service.clone(), stop.clone());
        tokio::spawn(converse(stream, service, Place(Arc::new(place)), stop));
    }
}

/// A connection's place among those that there may be; what outlives the conversation in HTTP keeps it.
#[derive(Clone)]
pub(super) struct Place(#[expect(dead_code, reason = "it is held, not read")] Arc<OwnedSemaphorePermit>);

/// One connection, to its end. An upgraded one leaves here as soon as it is that, and takes its place along.
async fn converse(
    stream: TcpStream,
    service: TowerToHyperService<Router>,
    place: Place,
    stop: CancellationToken,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(place.clone());
        service.call(request)
    });
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_header_size(MAX_HEAD)
        .max_buf_size(2 * MAX_HEAD);
    let io = TokioIo::new(Patient::new(stream));
    let mut connection = std::pin::pin!(http.serve_connection(io, service).with_upgrades());
    // What a client does wrong is its own business, and hyper has told it.
    if stop.run_until_cancelled(connection.as_mut()).await.is_none() {
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(LAST, connection).await;
    }
}

/// Half of the files that this process may open are for others: relays, the database, the broker.
fn room() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|l| l.split_whitespace().next()?.parse::<usize>().ok());
    soft.map_or(CONNECTIONS.0, |soft| soft / 2)
        .clamp(CONNECTIONS.1, CONNECTIONS.0)
}
