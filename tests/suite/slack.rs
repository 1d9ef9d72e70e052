//! Posts to a webhook, over http and https, to a server that holds them to Slack's limits.

use std::path::Path;
use std::time::{Duration, Instant};

use herald::config::WebhookUrl;
use herald::outside::Trust;
use herald::slack::{Posted, Webhook};
use rstest::rstest;
use serde_json::json;

use crate::support::certs::Certs;
use crate::support::slack::{Action, Answer, Options, SlackServer};

const LIMIT: Duration = Duration::from_secs(10);
const PATH: &str = "/services/T0/B0/s3cr3tt0ken";

fn url(server: &SlackServer) -> WebhookUrl {
    let opened = ["127.0.0.1", "localhost"].map(str::to_owned);
    WebhookUrl::parse(&server.url(PATH), &opened).expect("a webhook")
}

fn webhook(server: &SlackServer, limit: Duration, ca: Option<&Path>) -> Webhook {
    Webhook::new(url(server), limit, ca).expect("a client")
}

async fn post(webhook: &Webhook, text: &str) -> Posted {
    let payload = json!({"text": text}).to_string();
    webhook.post(payload.into_bytes(), || true).await
}

#[tokio::test]
async fn what_is_posted_arrives() {
    let server = SlackServer::start(Options::default()).await;
    let webhook = webhook(&server, LIMIT, None);
    assert_eq!(post(&webhook, "Grüße").await, Posted::Accepted);
    let refused = Posted::RefusedForGood {
        status: 400,
        text: "no_text".into(),
    };
    assert_eq!(post(&webhook, "").await, refused);
    let requests = server.wait_for(2, LIMIT).await;
    assert_eq!(
        (requests[0].method.as_str(), requests[0].path.as_str()),
        ("POST", PATH)
    );
    assert_eq!(requests[0].payload, json!({"text": "Grüße"}));
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    assert_eq!(requests[0].violation, None);
    assert!(requests[1].violation.is_some());
    assert!(requests[0].at <= requests[1].at);
    assert_eq!(
        (requests[0].connection, requests[1].connection),
        (1, 1),
        "it is kept"
    );
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn answers_as_told() {
    let limited = Answer::new(429, "rate_limited").header("Retry-After", 7);
    let server = SlackServer::start(Options::default().script(move |request| match request.number {
        1 => Some(Action::Answer(limited.clone())),
        2 => Some(Action::Close),
        3 => Some(Action::Hang),
        4 => Some(Action::Delay(Duration::from_millis(200))),
        _ => None,
    }))
    .await;
    let webhook = webhook(&server, Duration::from_secs(1), None);
    let refused = Posted::RefusedForNow {
        status: 429,
        text: "rate_limited".into(),
        retry_after: Some(Duration::from_secs(7)),
    };
    assert_eq!(post(&webhook, "x").await, refused);
    for _ in 0..2 {
        let posted = post(&webhook, "x").await;
        assert!(matches!(posted, Posted::Unknown(_)), "{posted:?}");
    }
    let begun = Instant::now();
    assert_eq!(post(&webhook, "x").await, Posted::Accepted);
    assert!(begun.elapsed() >= Duration::from_millis(200));
    let numbers: Vec<_> = server.requests().iter().map(|request| request.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4], "nothing is repeated on its own");
}

#[tokio::test]
async fn https_with_an_authority_of_our_own() {
    let certs = Certs::make();
    let options = Options {
        tls: Some(certs.acceptor()),
        ..Options::default()
    };
    let server = SlackServer::start(options).await;
    let trust = Trust::load(Some(&certs.ca())).expect("certificates");
    for _ in 0..2 {
        let webhook = Webhook::trusting(url(&server), LIMIT, &trust).expect("a client");
        assert_eq!(post(&webhook, "x").await, Posted::Accepted);
    }
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.path == PATH));
}

#[rstest]
#[case("DNS:localhost", false, "UnknownIssuer")]
#[case("DNS:hooks.slack.com", true, "not valid for name")]
#[tokio::test]
async fn certificates_are_checked(#[case] names: &str, #[case] known: bool, #[case] why: &str) {
    let certs = Certs::make_for(names);
    let options = Options {
        tls: Some(certs.acceptor()),
        ..Options::default()
    };
    let server = SlackServer::start(options).await;
    let ca = certs.ca();
    let posted = post(&webhook(&server, LIMIT, known.then_some(&*ca)), "x").await;
    assert!(
        matches!(&posted, Posted::Unsent(text) if text.contains(why)),
        "{posted:?}"
    );
    assert!(server.requests().is_empty());
}
