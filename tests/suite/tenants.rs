//! Whose message it is: a tenant with a file of its own, one that the root stands in for, one that is disabled,
//! and one whose file is broken; each over a real broker and real relays.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::configs::Configs;
use crate::support::database::{Kind, Row};
use crate::support::mail::Mail;
use crate::support::rabbit::header;
use crate::support::slack::{self, SlackServer};
use crate::support::smtp::{Action, At, Options, SmtpServer};
use crate::support::stage::Stage;
use crate::support::until;
use crate::support::worker::{Settings, Worker};

const LIMIT: Duration = Duration::from_mins(1);

/// A relay of a tenant's own, and who is told.
fn email(relay: &SmtpServer, from: &str, to: &[&str]) -> Value {
    json!({"smtp_host": "127.0.0.1", "smtp_port": relay.port(), "smtp_use_tls": false, "from_email": from, "to_emails": to})
}

fn failure(tenant: Option<&str>) -> Value {
    json!({"type": "pipeline_failure", "tenant_id": tenant, "title": "Pipeline Failed",
           "message": "Daily ingestion failed", "pipeline_id": "daily_ingestion"})
}

fn settings(stage: &Stage, configs: &Configs) -> Settings {
    let settings = stage.settings().set("SLACK_ALLOW_INSECURE_HOSTS", "127.0.0.1");
    configs.of(settings).set("RETRY_DELAY", "0.05")
}

/// Once `count` dispatches are closed: their rows, oldest first.
async fn rows_of(stage: &Stage, count: usize) -> Vec<Row> {
    stage
        .db
        .wait_dispatches(count, &["completed", "partial", "failed"])
        .await;
    let mut rows = stage.db.rows();
    rows.sort_by_key(|row| row.id);
    rows
}

async fn effective(worker: &Worker, tenant: &str) -> Value {
    let answer = worker.get(&format!("/api/v1/tenants/{tenant}/effective")).await;
    assert_eq!(answer.status(), 200);
    answer.json().await.expect("JSON")
}

#[rstest]
#[tokio::test]
async fn the_three_cases_and_the_broken_one(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let stage = Stage::new(kind, Options::default()).await;
    let (acme, root) = (
        SmtpServer::start(Options::default()).await,
        SmtpServer::start(Options::default()).await,
    );
    let slack = SlackServer::start(slack::Options::default()).await;
    let configs = Configs::new();
    configs.root(&json!({"enabled": true, "email": email(&root, "root@example.com", &["ops@example.com"])}));
    configs.tenant("acme", &json!({"enabled": true, "default_provider": "both",
        "email": email(&acme, "alerts@acme.example", &["data@acme.example", "lead@acme.example"]),
        "slack": {"webhook_url": slack.url("/services/T0/B0/s3cret"), "channel": "#data", "mention_users": ["U123"]}}));
    configs.raw("broken", b"{\"enabled\": true, \"emial\": {}}");
    let worker = settings(&stage, &configs).start().await;

    stage.rabbit.send(&failure(Some("acme"))).await;
    let rows = rows_of(&stage, 1).await;
    let told: Vec<_> = rows
        .iter()
        .map(|r| (r.channel.as_str(), r.to(), r.status.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("email", "data@acme.example", "sent"),
            ("email", "lead@acme.example", "sent"),
            ("slack", "#data", "sent")
        ]
    );
    let messages = acme.messages();
    assert!(messages.iter().all(|m| m.from == "alerts@acme.example"));
    let raw = String::from_utf8(messages[0].raw.clone()).expect("ASCII");
    assert!(raw.contains("To: data@acme.example, lead@acme.example"), "{raw}");
    let posts = slack.requests();
    assert_eq!(
        (posts.len(), posts[0].payload["channel"].as_str()),
        (1, Some("#data"))
    );
    assert!(
        posts[0].payload.to_string().contains("<@U123>"),
        "{}",
        posts[0].payload
    );

    stage.rabbit.send(&failure(Some("other"))).await;
    stage.rabbit.send(&failure(None)).await;
    let rows = rows_of(&stage, 3).await;
    assert!(
        rows[3..]
            .iter()
            .all(|r| (r.to(), r.status.as_str()) == ("ops@example.com", "sent"))
    );
    assert_eq!(root.messages().len(), 2);

    stage.rabbit.send(&failure(Some("broken"))).await;
    let letter = stage.rabbit.wait_dead().await;
    assert_eq!(
        header(&letter, "x-herald-reason").as_deref(),
        Some("tenant-config")
    );
    let error = header(&letter, "x-herald-error").unwrap_or_default();
    assert!(
        error.contains("broken") && error.contains("emial") && error.contains("email"),
        "{error}"
    );

    configs.root(&json!({"enabled": false}));
    configs.tenant("acme", &json!({"enabled": false}));
    stage.rabbit.send(&failure(Some("acme"))).await;
    let rows = rows_of(&stage, 4).await;
    let last = rows.last().expect("a row");
    assert_eq!(
        (last.recipient.as_deref(), last.status.as_str()),
        (None, "suppressed")
    );
    assert!(last.reason().contains("disabled"), "{}", last.reason());
    assert_eq!(
        stage.smtp.messages().len(),
        0,
        "the environment's relay is nobody's"
    );
    assert!(!worker.log().contains("s3cret"), "the webhook is in the log");
    stage.end(worker).await;
}

/// Events and orders that name a tenant go out as that tenant; without files as the environment says.
#[tokio::test]
async fn people_are_told_in_the_tenants_name() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let acme = SmtpServer::start(Options::default()).await;
    let configs = Configs::new();
    configs.tenant(
        "acme",
        &json!({"enabled": true, "email": email(&acme, "events@acme.example", &[])}),
    );
    stage.db.add_people(7, 5);
    let worker = settings(&stage, &configs)
        .set("FROM_EMAIL", "env@example.com")
        .start()
        .await;
    let order = |tenant| {
        json!({"type": "order.status.updated", "order_id": "ORD-7", "tenant_id": tenant, "status": "shipped",
               "customer": {"email": "ann@example.com", "name": "Ann"}})
    };
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7, "tenant_id": "acme"}))
        .await;
    stage.rabbit.send(&order("acme")).await;
    rows_of(&stage, 2).await;
    assert_eq!((acme.messages().len(), stage.smtp.messages().len()), (6, 0));
    assert!(acme.messages().iter().all(|m| m.from == "events@acme.example"));

    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7, "tenant_id": "globex"}))
        .await;
    stage.rabbit.send(&order("globex")).await;
    rows_of(&stage, 4).await;
    assert_eq!((acme.messages().len(), stage.smtp.messages().len()), (6, 6));
    assert!(stage.smtp.messages().iter().all(|m| m.from == "env@example.com"));
    let mail = Mail::parse(
        stage
            .smtp
            .messages()
            .iter()
            .find(|m| m.to == "ann@example.com")
            .expect("the order's"),
    );
    assert!(
        mail.subject.contains("ORD-7") && mail.text.contains("Hello Ann"),
        "{mail:?}"
    );
    let list: Value = worker
        .get("/api/v1/notifications?order_id=ORD-7")
        .await
        .json()
        .await
        .expect("JSON");
    assert_eq!(list["total"], 2);
    assert_eq!(list["items"][0]["order_id"], "ORD-7");
    stage.end(worker).await;
}

/// What is not told leaves one row that says why.
#[tokio::test]
async fn silence_has_a_reason() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let configs = Configs::new();
    let list = json!({"to_emails": ["ops@example.com"]});
    configs.root(&json!({"enabled": true, "email": list}));
    configs.tenant("muted", &json!({"enabled": true, "muted": true, "email": list}));
    configs.tenant("off", &json!({"enabled": true, "email": list,
        "event_triggers": [{"event": "pipeline_failure", "enabled": false}, {"event": "UPDATED", "enabled": false}]}));
    configs.tenant(
        "half",
        &json!({"enabled": true, "default_provider": "both", "email": list, "slack": {"enabled": false}}),
    );
    configs.tenant(
        "mute-mail",
        &json!({"enabled": true, "email": {"enabled": false}}),
    );
    stage.db.add_people(7, 3);
    let worker = settings(&stage, &configs).start().await;
    let event = |tenant| json!({"type": "UPDATED", "event_id": 7, "tenant_id": tenant});
    let cases = [
        (
            failure(Some("muted")),
            vec![(Some("ops@example.com"), "the tenant is muted")],
        ),
        (
            failure(Some("off")),
            vec![(
                Some("ops@example.com"),
                "the trigger for pipeline_failure is disabled",
            )],
        ),
        (
            failure(Some("half")),
            vec![(Some("ops@example.com"), ""), (None, "Slack is disabled")],
        ),
        (event("muted"), vec![(None, "the tenant is muted")]),
        (event("off"), vec![(None, "the trigger for UPDATED is disabled")]),
        (event("mute-mail"), vec![(None, "e-mail is disabled")]),
    ];
    let mut seen = 0;
    for (number, (message, wanted)) in cases.into_iter().enumerate() {
        stage.rabbit.send(&message).await;
        let rows = rows_of(&stage, number + 1).await;
        let told: Vec<_> = rows[seen..]
            .iter()
            .map(|r| (r.recipient.as_deref(), r.reason()))
            .collect();
        assert_eq!(told.len(), wanted.len(), "{message}: {told:?}");
        for ((recipient, reason), (to, why)) in told.iter().zip(&wanted) {
            assert_eq!(recipient, to, "{message}");
            assert!(
                if why.is_empty() {
                    reason.is_empty()
                } else {
                    reason.contains(why)
                },
                "{message}: {reason}"
            );
        }
        seen = rows.len();
    }
    assert_eq!(stage.smtp.messages().len(), 1);
    stage.end(worker).await;
}

/// A change counts for the next message; one that makes a file invalid does not, and says so.
#[tokio::test]
async fn files_are_read_again() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let configs = Configs::new();
    configs.tenant(
        "acme",
        &json!({"enabled": true, "email": {"to_emails": ["one@example.com"]}}),
    );
    let worker = settings(&stage, &configs).start().await;
    stage.rabbit.send(&failure(Some("acme"))).await;
    assert_eq!(rows_of(&stage, 1).await[0].to(), "one@example.com");

    configs.tenant(
        "acme",
        &json!({"enabled": true, "email": {"to_emails": ["two@example.com"]}}),
    );
    stage.rabbit.send(&failure(Some("acme"))).await;
    assert_eq!(rows_of(&stage, 2).await[1].to(), "two@example.com");

    configs.raw("acme", b"{\"enabled\": true, \"email\": {\"to_emails\": [\"thr");
    stage.rabbit.send(&failure(Some("acme"))).await;
    assert_eq!(rows_of(&stage, 3).await[2].to(), "two@example.com");
    let shown = effective(&worker, "acme").await;
    assert_eq!(shown["state"], "tenant");
    assert_eq!(shown["config"]["email"]["to_emails"], json!(["two@example.com"]));
    assert!(shown["error"].as_str().is_some_and(|e| !e.is_empty()), "{shown}");
    until("a line in the log", LIMIT, async || {
        worker.log().contains("configuration invalid").then_some(())
    })
    .await;

    configs.remove("acme");
    stage.rabbit.send(&failure(Some("acme"))).await;
    assert_eq!(rows_of(&stage, 4).await[3].status, "suppressed");
    assert_eq!(effective(&worker, "acme").await["state"], "disabled");
    stage.end(worker).await;
}

/// A dispatch whose sender's file is gone is neither lost nor sent as somebody else: it waits, and says why.
#[tokio::test]
async fn a_sender_that_is_gone_is_waited_for() {
    let refuses = Options::default()
        .script(|event| (event.at == At::Greeting).then_some(Action::ReplyAndClose("421 not now")));
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let (down, up) = (
        SmtpServer::start(refuses).await,
        SmtpServer::start(Options::default()).await,
    );
    let configs = Configs::new();
    let config = |relay: &SmtpServer| json!({"enabled": true, "email": email(relay, "a@acme.example", &["ops@acme.example"])});
    configs.tenant("acme", &config(&down));
    let settings = settings(&stage, &configs).set("PARK_AFTER", "1s").set("LEASE", 2);
    let worker = settings.start().await;
    stage.rabbit.send(&failure(Some("acme"))).await;
    stage.db.wait_dispatches(1, &["waiting"]).await;
    worker.stop().await;

    configs.remove("acme");
    let worker = settings.start().await;
    let waits = async || stage.db.dispatch().error.filter(|error| error.contains("acme"));
    until("the reason why it waits", LIMIT, waits).await;
    assert_eq!(stage.db.count("pending"), 1);

    configs.tenant("acme", &config(&up));
    stage.db.wait_closed().await;
    assert_eq!((up.messages().len(), stage.smtp.messages().len()), (1, 0));
    assert_eq!(stage.db.dispatch().error, None);
    stage.end(worker).await;
}

/// A relay that refuses one tenant's address stops that tenant alone.
#[tokio::test]
async fn a_refused_identity_stops_nobody_else() {
    let options = Options::default().script(|event| {
        let refused = event.at == At::Mail && event.line.contains("bad@acme.example");
        refused.then_some(Action::Reply("550 5.7.1 sender is not yours"))
    });
    let stage = Stage::new(Kind::Sqlite, options).await;
    let relay = SmtpServer::start(Options::default()).await;
    let configs = Configs::new();
    let named = |from: &str| json!({"enabled": true, "email": {"from_email": from}});
    configs
        .tenant("acme", &named("bad@acme.example"))
        .tenant("globex", &named("good@globex.example"));
    stage.db.add_people(7, 30);
    let worker = settings(&stage, &configs).start().await;
    let event = |tenant| json!({"type": "UPDATED", "event_id": 7, "tenant_id": tenant});
    stage.rabbit.send(&event("acme")).await;
    let said = "the relay refuses this sender";
    until(said, LIMIT, async || worker.log().contains(said).then_some(())).await;
    stage.rabbit.send(&event("globex")).await;
    stage.db.wait_count("sent", 30).await;
    assert_eq!(stage.db.count("pending"), 30);
    assert!(
        stage
            .db
            .rows()
            .iter()
            .all(|row| row.status == "sent" || row.attempts == 0)
    );

    // Mended, it goes on without anybody asking, in its own name still.
    configs.tenant(
        "acme",
        &json!({"enabled": true, "email": email(&relay, "fine@acme.example", &[])}),
    );
    stage.db.wait_count("sent", 60).await;
    worker.stop().await;
    stage.rabbit.clean().await;
}

/// An error that repeats a template is more than one of the databases takes, and holds nobody up.
#[tokio::test]
async fn the_error_of_a_template_is_bounded() {
    let stage = Stage::new(Kind::Mysql, Options::default()).await;
    let configs = Configs::new();
    let name = "a".repeat(70_000);
    let text = format!("Hello {{% if recipient.name == \"Zed\" %}}{{{{ recipient.{name} }}}}{{% endif %}}");
    configs.template("acme", "updated.txt", &text);
    stage
        .db
        .add(7, &[("zed@example.com", "Zed"), ("ann@example.com", "Ann")]);
    let worker = settings(&stage, &configs).start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7, "tenant_id": "acme"}))
        .await;
    let rows = rows_of(&stage, 1).await;
    let outcomes: Vec<_> = rows.iter().map(|row| row.status.as_str()).collect();
    assert_eq!(outcomes, ["failed", "sent"]);
    let reason = rows[0].reason();
    assert!(
        reason.contains("updated.txt") && reason.chars().count() <= 1_000,
        "{reason}"
    );
    stage.end(worker).await;
}

/// A tenant's template replaces one file; a broken one concerns that tenant alone.
#[tokio::test]
async fn templates_of_a_tenants_own() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let configs = Configs::new();
    configs.template("acme", "updated.subject.txt", "ACME: {{ event.title }}");
    configs.template("broken", "updated.subject.txt", "{{ nothing.of.it }}");
    stage.db.add_people(7, 2);
    let worker = settings(&stage, &configs).start().await;
    let event = |tenant| json!({"type": "UPDATED", "event_id": 7, "tenant_id": tenant});
    stage.rabbit.send(&event("broken")).await;
    let letter = stage.rabbit.wait_dead().await;
    assert_eq!(
        header(&letter, "x-herald-reason").as_deref(),
        Some("tenant-config")
    );
    let error = header(&letter, "x-herald-error").unwrap_or_default();
    assert!(error.contains("updated.subject.txt"), "{error}");
    stage.rabbit.send(&event("acme")).await;
    stage.rabbit.send(&event("globex")).await;
    rows_of(&stage, 2).await;
    let mut subjects: Vec<_> = stage
        .smtp
        .messages()
        .iter()
        .map(|m| Mail::parse(m).subject)
        .collect();
    subjects.sort();
    assert_eq!(
        subjects,
        [
            "ACME: Event #7",
            "ACME: Event #7",
            "Updated: Event #7",
            "Updated: Event #7"
        ]
    );
    stage.end(worker).await;
}
