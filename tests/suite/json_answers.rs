//! What commands that change something say to programs.

use serde_json::{Value, json};

use crate::support::command::Shell;
use crate::support::database::Kind;
use crate::support::rabbit;
use crate::support::smtp::{Action, At, Options};
use crate::support::stage::Stage;

async fn said(shell: &Shell, arguments: &[&str]) -> Value {
    let said = shell.herald(arguments).await.done();
    serde_json::from_str(&said).expect("JSON")
}

#[tokio::test]
async fn changes_are_told_as_json() {
    let refusing = Options::default().at(At::Rcpt, Action::Reply("550 5.1.1 no such user"));
    let stage = Stage::new(Kind::Sqlite, refusing).await;
    stage.db.add_people(1, 3);
    let worker = stage.settings().start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 1}))
        .await;
    stage.db.wait_closed().await;
    stage.rabbit.send(&json!({"type": "UPSERTED"})).await;
    let dead = stage.rabbit.dead();
    crate::support::until("a letter", std::time::Duration::from_secs(30), async || {
        (stage.rabbit.ready(&dead).await == Some(1)).then_some(())
    })
    .await;
    worker.stop().await;
    let shell = Shell::new()
        .set("DATABASE_URL", stage.db.url())
        .set("LAVINMQ_URL", rabbit::address())
        .set("LAVINMQ_QUEUE", &stage.rabbit.broker.queue);
    let retried = said(&shell, &["retry", "--failed", "--json"]).await;
    assert_eq!(retried, json!({"retried": 3}));
    let replayed = said(
        &shell,
        &["dead-letters", "replay", "--reason", "exhausted", "--json"],
    );
    assert_eq!(replayed.await, json!({"replayed": 0, "left": 1}));
    let dropped = said(&shell, &["dead-letters", "drop", "--json"]).await;
    assert_eq!(dropped, json!({"dropped": 1, "left": 0}));
    stage.rabbit.clean().await;
}
