//! From a message to a post, and what the webhook's answers mean for the ledger. A local server stands in
//! Slack's place and refuses what exceeds Slack's limits.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::configs::Configs;
use crate::support::database::{Kind, Row};
use crate::support::slack::{Action, Answer, Options, SlackServer};
use crate::support::smtp;
use crate::support::stage::Stage;
use crate::support::worker::Worker;

/// A worker whose root posts to `slack`, once it has done with `message`.
async fn posted(
    slack: &SlackServer,
    message: &Value,
    settings: &[(&str, &str)],
) -> (Stage, Worker, Row, Configs) {
    let stage = Stage::new(Kind::Sqlite, smtp::Options::default()).await;
    let configs = Configs::new();
    configs.root(
        &json!({"enabled": true, "timeout_seconds": 1, "retry_delay_seconds": 0.05, "max_retries": 2,
        "slack": {"webhook_url": slack.url("/services/T0/B0/s3cr3t"), "mention_channel": true}}),
    );
    let mut given = configs
        .of(stage.settings())
        .set("SLACK_ALLOW_INSECURE_HOSTS", "127.0.0.1");
    for (name, value) in settings {
        given = given.set(name, value);
    }
    let worker = given.start().await;
    stage.rabbit.send(message).await;
    stage
        .db
        .wait_dispatches(1, &["completed", "failed", "waiting"])
        .await;
    let row = stage.db.rows().remove(0);
    assert_eq!(row.channel, "slack");
    assert!(!worker.log().contains("s3cr3t"), "the webhook is in the log");
    assert!(!row.reason().contains("s3cr3t"), "{}", row.reason());
    (stage, worker, row, configs)
}

fn failure(severity: &str) -> Value {
    json!({"type": "pipeline_failure", "severity": severity, "title": "<!channel> & co",
           "message": "x".repeat(9_000), "details": {"error": "a\nb"}})
}

#[tokio::test]
async fn even_the_largest_keeps_within_the_limits() {
    let slack = SlackServer::start(Options::default()).await;
    let mut message = failure("critical");
    let long = "y".repeat(5_000);
    let details = (0..100).map(|n| (format!("k{n}"), json!(long)));
    message["details"] = details.collect::<serde_json::Map<_, _>>().into();
    message["failed_checks"] = json!(vec![long.clone(); 100]);
    let (stage, worker, row, _configs) = posted(&slack, &message, &[]).await;
    assert_eq!((row.status.as_str(), row.reason()), ("sent", ""));
    let payload = slack.requests()[0].payload.to_string();
    assert_eq!(
        payload.matches("<!channel>").count(),
        1,
        "called once, by us: {payload}"
    );
    stage.end(worker).await;
}

#[tokio::test]
async fn nobody_is_called_for_less_than_critical() {
    let slack = SlackServer::start(Options::default()).await;
    let (stage, worker, _, _configs) = posted(&slack, &failure("error"), &[]).await;
    assert!(!slack.requests()[0].payload.to_string().contains("<!channel>"));
    stage.end(worker).await;
}

/// Answers in a row, the last one from then on; and what the ledger says in the end, after how many posts.
#[rstest]
#[case::at_once(&[200], "sent", 1)]
#[case::trouble_that_passes(&[500, 503, 200], "sent", 3)]
#[case::trouble_that_stays(&[500], "failed", 3)]
#[case::gone(&[404], "failed", 1)]
#[case::elsewhere(&[302], "failed", 1)]
#[tokio::test]
async fn answers(#[case] codes: &'static [u16], #[case] status: &str, #[case] posts: usize) {
    let script = |request: &crate::support::slack::Request| {
        let code = codes[(request.number - 1).min(codes.len() - 1)];
        let answer = Answer::new(code, "no_service").header("location", "http://127.0.0.1:1/x");
        (code != 200).then_some(Action::Answer(answer))
    };
    let slack = SlackServer::start(Options::default().script(script)).await;
    let (stage, worker, row, _configs) = posted(&slack, &failure("error"), &[("RETRY_SCHEDULE", "")]).await;
    assert_eq!((row.status.as_str(), slack.requests().len()), (status, posts));
    assert_eq!(usize::try_from(row.attempts), Ok(posts));
    if status == "failed" {
        assert!(row.reason().starts_with("webhook: "), "{}", row.reason());
    }
    stage.end(worker).await;
}

/// It asks for patience, and gets it.
#[tokio::test]
async fn retry_after_is_honoured() {
    let script = |request: &crate::support::slack::Request| {
        let busy = Answer::new(429, "rate_limited").header("retry-after", 2);
        (request.number == 1).then_some(Action::Answer(busy))
    };
    let slack = SlackServer::start(Options::default().script(script)).await;
    let (stage, worker, row, _configs) = posted(&slack, &failure("error"), &[]).await;
    assert_eq!((row.status.as_str(), row.attempts), ("sent", 2));
    let requests = slack.requests();
    let waited = requests[1].at - requests[0].at;
    assert!(waited >= Duration::from_millis(1_900), "{waited:?}");
    stage.end(worker).await;
}

/// Nobody can know whether a post without an answer arrived.
#[tokio::test]
async fn no_answer_is_unknown() {
    let slack = SlackServer::start(Options::default().script(|_| Some(Action::Hang))).await;
    let settings = [("ON_UNKNOWN", "hold")];
    let (stage, worker, row, _configs) = posted(&slack, &failure("error"), &settings).await;
    assert_eq!((row.status.as_str(), row.attempts), ("unknown", 1));
    assert!(row.reason().contains("no answer within"), "{}", row.reason());
    stage.end(worker).await;
}

/// In dummy mode nothing leaves, and the ledger says sent.
#[tokio::test]
async fn dummy_mode_posts_nothing() {
    let slack = SlackServer::start(Options::default()).await;
    let (stage, worker, row, _configs) =
        posted(&slack, &failure("error"), &[("EMAIL_DUMMY_MODE", "true")]).await;
    assert_eq!((row.status.as_str(), slack.requests().len()), ("sent", 0));
    stage.end(worker).await;
}

/// A tenant's posts to a webhook are at least a second apart.
#[tokio::test]
async fn one_a_second() {
    let slack = SlackServer::start(Options::default()).await;
    let (stage, worker, _, _configs) = posted(&slack, &failure("error"), &[]).await;
    for _ in 0..2 {
        stage.rabbit.send(&failure("error")).await;
    }
    stage.db.wait_dispatches(3, &["completed"]).await;
    let times: Vec<_> = slack.requests().iter().map(|request| request.at).collect();
    let least = times.windows(2).map(|pair| pair[1] - pair[0]).min();
    assert!(least >= Some(Duration::from_millis(900)), "{least:?}");
    stage.end(worker).await;
}
