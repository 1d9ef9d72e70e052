//! What is configured for a tenant, shown and tried out by the commands for it.

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::command::Shell;
use crate::support::configs::Configs;
use crate::support::proxy;
use crate::support::slack::{self, Action, Answer, SlackServer};
use crate::support::smtp::{Options, SmtpServer};

fn shell(configs: &Configs) -> Shell {
    Shell::new()
        .set("NOTIFICATIONS_CONFIG_PATH", configs.root_folder().display())
        .set("SLACK_ALLOW_INSECURE_HOSTS", "127.0.0.1")
        .set("EMAIL_DUMMY_MODE", false)
        .set("ACME_SMTP_PASSWORD", "s3cret")
}

async fn relay(password: &'static str) -> SmtpServer {
    SmtpServer::start(Options {
        auth: Some(("ann", password)),
        mechanisms: "PLAIN",
        ..Options::default()
    })
    .await
}

/// A tenant with a relay and a webhook of its own.
fn acme(relay: &SmtpServer, webhook: &str) -> Value {
    json!({"enabled": true, "timeout_seconds": 2,
        "email": {"smtp_host": "127.0.0.1", "smtp_port": relay.port(), "smtp_use_tls": false, "smtp_username": "ann",
                  "smtp_password": "${ACME_SMTP_PASSWORD}", "from_email": "a@acme.example", "to_emails": ["ops@acme.example"]},
        "slack": {"webhook_url": webhook, "channel": "#data"}})
}

/// Exit code, and state and detail of each check.
async fn examined(shell: &Shell, tenant: &str) -> (Option<i32>, Vec<[String; 3]>) {
    let said = shell.herald(&["doctor", "--tenant", tenant]).await;
    assert!(!said.all().contains("s3cret"), "{said:#?}");
    let lines = said.out.lines().map(|line| {
        let (state, rest) = line.split_at(4);
        let (check, detail) = rest.trim_start().split_once(' ').unwrap_or_default();
        [state.trim(), check, detail.trim_start()].map(str::to_owned)
    });
    (said.code, lines.collect())
}

#[track_caller]
fn fits(found: &[[String; 3]], wanted: &[[&str; 3]]) {
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for ([state, check, detail], [wanted_state, wanted_check, part]) in found.iter().zip(wanted) {
        assert_eq!(
            (state.as_str(), check.as_str()),
            (*wanted_state, *wanted_check),
            "{found:#?}"
        );
        assert!(detail.contains(part), "{part}: {found:#?}");
    }
}

#[tokio::test]
async fn doctor_tries_what_a_tenant_has_configured() {
    let (relay, slack) = (
        relay("s3cret").await,
        SlackServer::start(slack::Options::default()).await,
    );
    let configs = Configs::new();
    configs.tenant("acme", &acme(&relay, &slack.url("/services/T0/B0/s3cret")));
    configs.template("acme", "updated.subject.txt", "ACME: {{ event.title }}");
    let shell = shell(&configs);
    let (code, found) = examined(&shell, "acme").await;
    fits(
        &found,
        &[
            ["ok", "tenant", "tenant, by "],
            ["ok", "templates", "acme/templates"],
            ["ok", "relay", "greets, plain text, AUTH accepted"],
            ["ok", "webhook", "takes posts"],
        ],
    );
    assert_eq!(code, Some(0));
    assert!(relay.messages().is_empty());
    let posts = slack.requests();
    assert_eq!((posts.len(), &posts[0].payload), (1, &json!({})));

    let said = shell
        .herald(&["doctor", "--tenant", "acme", "--json"])
        .await
        .done();
    let checks: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(checks[3]["check"], "webhook");
    assert_eq!(checks[3]["ok"], true);

    let (code, found) = examined(&shell.set("EMAIL_DUMMY_MODE", true), "acme").await;
    fits(
        &found[2..],
        &[["ok", "relay", "dummy mode"], ["ok", "webhook", "dummy mode"]],
    );
    assert_eq!((code, slack.requests().len()), (Some(0), 2));
}

#[tokio::test]
async fn doctor_says_what_of_it_does_not_work() {
    let gone = slack::Options::default().script(|_| Some(Action::Answer(Answer::new(404, "no_service"))));
    let (relay, slack) = (relay("another").await, SlackServer::start(gone).await);
    let configs = Configs::new();
    configs
        .tenant("acme", &acme(&relay, &slack.url("/services/T0/B0/s3cret")))
        .tenant(
            "away",
            &acme(&relay, &format!("http://127.0.0.1:{}/s3cret", proxy::free_port())),
        )
        .raw("broken", b"{\"enabled\": true, \"emial\": {}}");
    configs.template("broken", "updated.subject.txt", "{{ nothing.of.it }}");
    let shell = shell(&configs);
    let (code, found) = examined(&shell, "acme").await;
    fits(
        &found[2..],
        &[
            ["FAIL", "relay", "535"],
            ["FAIL", "webhook", "answers 404 no_service"],
        ],
    );
    assert_eq!(code, Some(1));
    let (_, found) = examined(&shell, "away").await;
    fits(&found[3..], &[["FAIL", "webhook", "refused"]]);
    let (code, found) = examined(&shell, "broken").await;
    fits(
        &found,
        &[
            ["FAIL", "tenant", "broken/notifications.json: emial: unknown key"],
            ["FAIL", "templates", "updated.subject.txt"],
        ],
    );
    assert_eq!(code, Some(1));
    assert_eq!(
        shell.herald(&["doctor", "--tenant", "No Such"]).await.code,
        Some(2)
    );
}

#[rstest]
#[case::webhook_gone(403, "invalid_token", "FAIL", "answers 403 invalid_token")]
#[case::channel_gone(410, "channel_is_archived", "FAIL", "answers 410 channel_is_archived")]
#[case::bad_in_another_way(400, "no_team", "FAIL", "answers 400 no_team")]
#[case::busy(429, "rate_limited", "FAIL", "answers 429")]
#[case::the_other_word(400, "invalid_payload", "ok", "takes posts")]
#[case::a_gateway(200, "ok", "ok", "takes anything")]
#[tokio::test]
async fn doctor_knows_slacks_answers(
    #[case] status: u16,
    #[case] word: &'static str,
    #[case] state: &str,
    #[case] detail: &str,
) {
    let options = slack::Options::default();
    let slack =
        SlackServer::start(options.script(move |_| Some(Action::Answer(Answer::new(status, word))))).await;
    let configs = Configs::new();
    configs.root(
        &json!({"enabled": true, "slack": {"webhook_url": slack.url("/services/T0/B0/s3cret")},
                         "email": {"enabled": false}}),
    );
    let (code, found) = examined(&shell(&configs), "acme").await;
    fits(
        &found,
        &[
            ["ok", "tenant", "root, by "],
            ["ok", "templates", "built in"],
            ["ok", "relay", "e-mail is disabled"],
            [state, "webhook", detail],
        ],
    );
    assert_eq!(code, Some(i32::from(state != "ok")));
}

#[tokio::test]
async fn doctor_of_a_tenant_without_a_file() {
    let relay = relay("s3cret").await;
    let configs = Configs::new();
    let shell = shell(&configs)
        .set("SMTP_HOST", "127.0.0.1")
        .set("SMTP_PORT", relay.port())
        .set("SMTP_USE_TLS", false)
        .set("SMTP_USERNAME", "ann")
        .set("SMTP_PASSWORD", "s3cret");
    let (code, found) = examined(&shell, "acme").await;
    fits(
        &found,
        &[
            ["ok", "tenant", "disabled, by the environment"],
            ["ok", "templates", "built in"],
            ["ok", "relay", "AUTH accepted"],
            ["ok", "webhook", "none is configured"],
        ],
    );
    assert_eq!(code, Some(0));
    configs.tenant("acme", &json!({"enabled": false}));
    let (code, found) = examined(&shell, "acme").await;
    fits(&found[..1], &[["ok", "tenant", "disabled, by "]]);
    fits(
        &found[2..],
        &[["ok", "relay", "are disabled"], ["ok", "webhook", "are disabled"]],
    );
    assert_eq!((code, relay.connections()), (Some(0), 1));
}

#[tokio::test]
async fn doctor_counts_the_files() {
    let configs = Configs::new();
    configs
        .root(&json!({"enabled": true}))
        .tenant("acme", &json!({"enabled": true}));
    let shell = shell(&configs).set("EMAIL_DUMMY_MODE", true);
    let line = async || {
        let said = shell.herald(&["doctor"]).await;
        let line = said
            .out
            .lines()
            .find(|line| line.contains("  tenants  "))
            .map(str::to_owned);
        (said.code, line.unwrap_or_default())
    };
    let (_, said) = line().await;
    assert!(
        said.starts_with("ok ") && said.ends_with("2 configuration files"),
        "{said}"
    );
    // Just saved, as by whoever asks the doctor next.
    configs.raw("beta", b"{\"enabled\": tru");
    let (code, said) = line().await;
    assert!(
        said.starts_with("FAIL") && said.contains("3 configuration files, 1 invalid: "),
        "{said}"
    );
    assert!(said.contains("beta/notifications.json: "), "{said}");
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn tenant_shows_what_applies() {
    let (relay, slack) = (
        relay("s3cret").await,
        SlackServer::start(slack::Options::default()).await,
    );
    let configs = Configs::new();
    configs.tenant("acme", &acme(&relay, &slack.url("/services/T0/B0/s3cret")));
    let shell = shell(&configs);
    let said = shell.herald(&["tenant", "acme"]).await.done();
    let rows: Vec<(&str, &str)> = said
        .lines()
        .filter_map(|line| {
            line.split_once(' ')
                .map(|(name, value)| (name, value.trim_start()))
        })
        .collect();
    for row in [
        ("Tenant", "acme"),
        ("State", "tenant"),
        ("email.smtp_username", "ann"),
        ("email.smtp_password", "***"),
        ("email.to_emails", "ops@acme.example"),
        ("slack.channel", "#data"),
        ("timeout_seconds", "2"),
    ] {
        assert!(rows.contains(&row), "{row:?}: {said}");
    }
    assert!(!said.contains("s3cret"), "{said}");
    let said = shell.herald(&["tenant", "acme", "--json"]).await.done();
    assert!(!said.contains("s3cret"), "{said}");
    let shown: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        (&shown["state"], &shown["error"]),
        (&json!("tenant"), &Value::Null)
    );
    assert_eq!(shown["config"]["email"]["smtp_port"], json!(relay.port()));

    configs.root(&json!({"enabled": true}));
    let said = shell.herald(&["tenant", "other"]).await.done();
    assert!(
        said.contains("root\n") && said.contains("config.json\n"),
        "{said}"
    );
    configs.raw("broken", b"{\"enabled\": true, \"emial\": {}}");
    let said = shell.herald(&["tenant", "broken"]).await;
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(
        said.out.contains("disabled\n") && said.out.contains("did you mean email?"),
        "{said:#?}"
    );
    for wrong in ["..", "a/b", "Acme", "notifications", "%2f", ""] {
        assert_eq!(shell.herald(&["tenant", wrong]).await.code, Some(2), "{wrong}");
    }
    assert_eq!(
        (relay.connections(), slack.connections()),
        (0, 0),
        "it only reads"
    );
}
