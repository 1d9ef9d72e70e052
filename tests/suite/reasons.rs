//! Every reason word of a dead letter, and a message that earns it. That a new word has one as well is
//! checked by the compiler.

use std::time::Duration;

use herald::message::Reason;
use lapin::BasicProperties;
use lapin::message::BasicGetMessage;
use serde_json::json;

use crate::support::configs::Configs;
use crate::support::database::Kind;
use crate::support::rabbit::header;
use crate::support::smtp::{Action, At, Options};
use crate::support::stage::Stage;
use crate::support::until;

const LIMIT: Duration = Duration::from_mins(1);

/// A message that is refused for this reason; `None` where it takes more than a message.
fn refused_for(reason: Reason) -> Option<Vec<u8>> {
    match reason {
        Reason::InvalidJson => Some(b"{".to_vec()),
        Reason::UnknownType => Some(br#"{"type": "PARTY", "event_id": 7}"#.to_vec()),
        Reason::InvalidField => Some(br#"{"type": "UPDATED", "event_id": 0}"#.to_vec()),
        Reason::TooLarge => Some(vec![b' '; (1 << 20) + 1]),
        Reason::TenantConfig => Some(br#"{"type": "UPDATED", "event_id": 7, "tenant_id": "acme"}"#.to_vec()),
        Reason::Attachment => {
            let attachments = json!([{"url": "https://files.example.com/a.pdf", "name": "a.pdf"}]);
            let message = json!({"type": "UPDATED", "event_id": 7, "attachments": attachments});
            Some(message.to_string().into_bytes())
        }
        Reason::MessageIdConflict | Reason::Exhausted => None,
    }
}

/// A body, and the dead letter that it became.
type Dead = (Vec<u8>, BasicGetMessage);

async fn dead_letter(reason: Reason) -> Dead {
    let hangs = Options::default().at(At::Greeting, Action::Hang);
    let options = if reason == Reason::Exhausted {
        hangs
    } else {
        Options::default()
    };
    let stage = Stage::new(Kind::Sqlite, options).await;
    stage.db.add_people(7, 1);
    let configs = Configs::new();
    configs.raw("acme", b"{}");
    match (reason, refused_for(reason)) {
        (_, Some(body)) => {
            let worker = configs.of(stage.settings()).start().await;
            stage.rabbit.publish(&body, BasicProperties::default()).await;
            let letter = stage.rabbit.wait_dead().await;
            stage.end(worker).await;
            (body, letter)
        }
        (Reason::MessageIdConflict, None) => conflict(stage).await,
        (_, None) => exhausted(stage).await,
    }
}

/// The id of an earlier message with another body.
async fn conflict(stage: Stage) -> Dead {
    let worker = stage.settings().start().await;
    let (first, second) = (
        json!({"type": "UPDATED", "event_id": 7}),
        json!({"type": "UPDATED", "event_id": 8}),
    );
    stage.rabbit.send_as("twice", &first).await;
    stage.db.wait_closed().await;
    stage.rabbit.send_as("twice", &second).await;
    let letter = stage.rabbit.wait_dead().await;
    stage.end(worker).await;
    (second.to_string().into_bytes(), letter)
}

/// Five starts in a row that end the process before anything came of them.
async fn exhausted(stage: Stage) -> Dead {
    let settings = stage.settings().set("LEASE", 2);
    let body = json!({"type": "UPDATED", "event_id": 7});
    let mut worker = settings.start().await;
    stage.rabbit.send(&body).await;
    for _ in 0..5 {
        until("the start", LIMIT, async || {
            worker.log().contains("dispatch started").then_some(())
        })
        .await;
        worker.kill9();
        worker = settings.start().await;
    }
    let letter = stage.rabbit.wait_dead().await;
    assert_eq!(stage.db.wait_closed().await.status, "failed");
    stage.end(worker).await;
    (body.to_string().into_bytes(), letter)
}

#[tokio::test]
async fn each_is_earned_by_a_message() {
    let all = futures_util::future::join_all(Reason::ALL.map(dead_letter)).await;
    for (reason, (body, letter)) in Reason::ALL.into_iter().zip(all) {
        assert_eq!(
            header(&letter, "x-herald-reason").as_deref(),
            Some(reason.as_str())
        );
        assert!(letter.data == body, "{reason}: another body");
        assert!(header(&letter, "x-herald-error").is_some(), "{reason}");
    }
}
