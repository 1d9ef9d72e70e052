//! What the HTTP API stands: slow clients, wrong ways to ask, and what stands around each answer.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::database::Kind;
use crate::support::smtp::Options;
use crate::support::stage::Stage;
use crate::support::worker::Worker;

async fn connect(worker: &Worker) -> TcpStream {
    let url: url::Url = worker.url("/").parse().expect("a URL");
    let address = ("127.0.0.1", url.port().expect("a port"));
    TcpStream::connect(address).await.expect("a connection")
}

/// Sends these bytes on a connection of their own and reads until the server closes it.
async fn raw(worker: &Worker, request: &str) -> String {
    let mut stream = connect(worker).await;
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_mins(1), stream.read_to_end(&mut answer));
    let _ = read.await.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn half_open_clients_hold_nobody_up() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let worker = stage.settings().start().await;
    let mut slow = Vec::new();
    for n in 0..200 {
        let mut stream = connect(&worker).await;
        let begun = [
            "",
            "GET /api",
            "GET /api/v1/dispatches HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        ];
        let body = "POST /api/v1/replays HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                    Content-Length: 100\r\n\r\n{";
        let text = begun.get(n % 4).copied().unwrap_or(body);
        stream.write_all(text.as_bytes()).await.expect("written");
        slow.push(stream);
    }
    let begun = Instant::now();
    for path in ["/health/live", "/api/v1/dispatches", "/openapi.json"] {
        assert_eq!(worker.get(path).await.status(), 200, "{path}");
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "three answers took {took:?}");
    println!("three answers beside 200 half-open clients: {took:?}");
    // They are all let go in the end, those with half a head without an answer.
    let mut ends = Vec::new();
    for mut stream in slow {
        ends.push(tokio::spawn(async move {
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer).await;
            answer
        }));
    }
    for end in ends {
        let answer = tokio::time::timeout(Duration::from_mins(1), end);
        let answer = answer.await.expect("an end").expect("no panic");
        let known = ["", "HTTP/1.1 408 ", "HTTP/1.1 504 "];
        assert!(known.iter().any(|k| answer.starts_with(k)), "{answer}");
    }
    stage.end(worker).await;
}

#[tokio::test]
async fn wrong_ways_to_ask_are_problems() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let worker = stage.settings().start().await;
    let client = reqwest::Client::new();
    for (method, path, status) in [
        ("DELETE", "/api/v1/dispatches", 405),
        ("POST", "/api/v1/notifications", 405),
        ("GET", "/api/v1/replays", 405),
        ("PUT", "/health", 405),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/dispatches/", 404),
        ("GET", "/api/v1/notifications/%FF", 404),
        ("GET", "/api/v1/notifications/-1", 404),
        ("GET", "/api/v1/tenants/UPPER/effective", 404),
    ] {
        let method = method.parse().expect("a method");
        let answer = client
            .request(method, worker.url(path))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(
            answer.headers()["content-type"],
            "application/problem+json",
            "{path}"
        );
        let allowed = answer.headers().contains_key("allow");
        assert_eq!(allowed, status == 405, "{path}: {:?}", answer.headers());
        let problem: Value = answer.json().await.expect("JSON");
        assert_eq!(problem["status"], status, "{path}");
        let kind = problem["type"].as_str().unwrap_or_default();
        assert!(kind.starts_with("urn:herald:"), "{path}: {problem}");
    }
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    assert!(raw(&worker, &long).await.starts_with("HTTP/1.1 431 "));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(110));
    assert!(raw(&worker, &many).await.starts_with("HTTP/1.1 431 "));
    let endless = "POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                   Content-Length: 9999999999\r\n\r\n{";
    let mut stream = connect(&worker).await;
    stream.write_all(endless.as_bytes()).await.expect("written");
    let chunk = vec![b' '; 64 * 1024];
    let mut written = 0;
    while written < 1_000 && stream.write_all(&chunk).await.is_ok() {
        written += 1;
    }
    assert!(written < 1_000, "what is far too large is not read to its end");
    stage.end(worker).await;
}

#[tokio::test]
async fn every_request_has_an_id() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let worker = stage.settings().set("LOG_LEVEL", "DEBUG").start().await;
    let client = reqwest::Client::new();
    let asked = async |id: &'static str| {
        let request = client
            .get(worker.url("/api/v1/dispatches"))
            .header("x-request-id", id);
        let answer = request.send().await.expect("an answer");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.headers()[name], value);
        }
        answer.headers()["x-request-id"]
            .to_str()
            .expect("text")
            .to_owned()
    };
    assert_eq!(asked("page-7.a_b").await, "page-7.a_b");
    let made = asked("not <one>").await;
    assert_eq!(made.len(), 32, "{made}");
    crate::support::until("both in the log", Duration::from_secs(10), async || {
        let log = worker.log();
        (log.contains("page-7.a_b") && log.contains(&made)).then_some(())
    })
    .await;
    assert!(!worker.log().contains("<one>"));
    stage.end(worker).await;
}

#[tokio::test]
async fn pages_of_other_origins_change_nothing() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let settings = stage.settings();
    let worker = settings
        .set("HTTP_ALLOWED_ORIGINS", "https://gateway.example")
        .start()
        .await;
    let body = serde_json::json!({"filter": {}, "limit": 1});
    let own = worker.url("");
    let home = own.trim_end_matches('/');
    for (origin, expected) in [
        ("https://evil.example", 403),
        ("null", 403),
        (home, 200),
        ("https://gateway.example", 200),
    ] {
        let request = reqwest::Client::new()
            .post(worker.url("/api/v1/replays"))
            .header("Origin", origin)
            .json(&body);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), expected, "{origin}");
        if expected == 403 {
            let problem: Value = answer.json().await.expect("JSON");
            assert_eq!(problem["status"], 403, "{problem}");
        }
    }
    // To look is not to change; what may be read is the browser's to say.
    let look = reqwest::Client::new()
        .get(worker.url("/api/v1/dispatches"))
        .header("Origin", "https://evil.example");
    assert_eq!(look.send().await.expect("an answer").status(), 200);
    stage.end(worker).await;
}
