//! The commands as a person types them: answers, exit codes, files.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::certs::Certs;
use crate::support::command::Shell;
use crate::support::database::{Kind, TestDatabase};
use crate::support::mailed::{everybody_once, slow_relay};
use crate::support::proxy;
use crate::support::rabbit::{self, Rabbit};
use crate::support::smtp::{Options, SmtpServer, Tls};
use crate::support::until;
use crate::support::worker::Settings;

const PROGRAMS: [&str; 12] = [
    "run",
    "migrate",
    "dispatch",
    "status",
    "retry",
    "pause",
    "resume",
    "cancel",
    "dead-letters",
    "tenant",
    "preview",
    "doctor",
];
const LIMIT: Duration = Duration::from_secs(30);

fn shell(db: &TestDatabase) -> Shell {
    Shell::new().set("DATABASE_URL", db.url())
}

fn with_relay(shell: Shell, smtp: &SmtpServer) -> Shell {
    shell
        .set("EMAIL_DUMMY_MODE", false)
        .set("SMTP_HOST", "127.0.0.1")
        .set("SMTP_PORT", smtp.port())
        .set("SMTP_USE_TLS", false)
}

fn with_broker(shell: Shell, rabbit: &Rabbit) -> Shell {
    shell
        .set("LAVINMQ_URL", rabbit::address())
        .set("LAVINMQ_QUEUE", &rabbit.broker.queue)
}

#[rstest]
#[tokio::test]
async fn migrate_twice(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let db = TestDatabase::bare(kind);
    let shell = shell(&db);
    let first = shell.herald(&["migrate"]).await.done();
    assert!(first.starts_with("Migrated: "), "{first}");
    db.add_people(7, 1);
    let second = shell.herald(&["migrate"]).await.done();
    assert_eq!(second, "The database is up to date.\n");
}

#[rstest]
#[tokio::test]
async fn add_test_data_adds_nobody_twice(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let db = TestDatabase::bare(kind);
    let shell = shell(&db).set("EMAIL_DUMMY_DIR", "mail");
    let add = async |count: &str| {
        let arguments = [
            "--event-id",
            "123",
            "--participants",
            count,
            "--title",
            "Rust & friends",
        ];
        shell.add_test_data(&arguments).await.done()
    };
    assert_eq!(
        add("250").await,
        "Event 123: 250 participants added, 0 were there.\n"
    );
    assert_eq!(
        add("250").await,
        "Event 123: 0 participants added, 250 were there.\n"
    );
    assert_eq!(
        add("253").await,
        "Event 123: 3 participants added, 250 were there.\n"
    );
    let body = br#"{"type": "CREATED", "event_id": 123}"#;
    let said = shell.herald_reading(&["dispatch", "-"], body).await.done();
    assert!(said.starts_with("completed: 253 sent (dispatch "), "{said}");
    let row = db.row("participant0@example.com");
    assert_eq!(row.name, "Participant 0");
    let mail = shell
        .folder()
        .join("mail")
        .join(&row.dispatch_id)
        .join(format!("{}.eml", row.id));
    let mail = std::fs::read_to_string(mail).unwrap();
    assert!(
        mail.contains("\r\nSubject: New event: Rust & friends\r\n"),
        "{mail}"
    );
    assert!(mail.contains("Participant 0"));
}

#[tokio::test]
async fn add_test_data_checks_its_arguments() {
    let db = TestDatabase::bare(Kind::Sqlite);
    let shell = shell(&db);
    let wrong: [&[&str]; 4] = [
        &[],
        &["--event-id", "0", "--participants", "1"],
        &["--event-id", "1", "--participants", "-1"],
        &["--event-id", "1", "--participants", "1", "--domain", "exa mple"],
    ];
    for arguments in wrong {
        let said = shell.add_test_data(arguments).await;
        assert_eq!(said.code, Some(2), "{arguments:?}: {said:#?}");
    }
    let other = [
        "--event-id",
        "1",
        "--participants",
        "2",
        "--domain",
        "example.net",
    ];
    shell.add_test_data(&other).await.done();
    shell
        .herald_reading(&["dispatch", "-"], br#"{"type": "UPDATED", "event_id": 1}"#)
        .await
        .done();
    assert_eq!(db.row("participant1@example.net").status, "sent");
}

#[tokio::test]
async fn send_test_message() {
    let rabbit = Rabbit::new().await;
    let shell = with_broker(Shell::new(), &rabbit);
    let send = async |arguments: &[&str]| shell.send_test_message(arguments).await;

    let said = send(&["--type", "UPDATED", "--event-id", "123", "--count", "3"])
        .await
        .done();
    assert!(said.starts_with("3 messages confirmed in "), "{said}");
    let mut ids = Vec::new();
    for _ in 0..3 {
        let message = rabbit.take(&rabbit.broker.queue).await.unwrap();
        let body: Value = serde_json::from_slice(&message.data).unwrap();
        assert_eq!(body, json!({"type": "UPDATED", "event_id": 123}));
        assert_eq!(message.properties.delivery_mode(), &Some(2));
        ids.push(message.properties.message_id().clone().unwrap());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "each has its own id");

    let arguments = [
        "--type",
        "CREATED",
        "--event-id",
        "1",
        "--count",
        "2",
        "--message-id",
        "m-1",
    ];
    send(&arguments).await.done();
    for _ in 0..2 {
        let message = rabbit.take(&rabbit.broker.queue).await.unwrap();
        assert_eq!(message.properties.message_id().as_ref().unwrap().as_str(), "m-1");
    }

    let raw = b"{\"type\": \"CANCELLED\",\n \"event_id\": 7} ";
    std::fs::write(shell.folder().join("message.json"), raw).unwrap();
    send(&["--json", "message.json"]).await.done();
    let message = rabbit.take(&rabbit.broker.queue).await.unwrap();
    assert_eq!(message.data, raw, "as it is");

    let wrong: [&[&str]; 5] = [
        &[],
        &["--type", "UPDATED"],
        &["--type", "UPDATED", "--event-id", "none"],
        &["--type", "UPDATED", "--event-id", "1", "--count", "0"],
        &["--json", "nowhere.json"],
    ];
    for arguments in wrong {
        assert_eq!(send(arguments).await.code, Some(2), "{arguments:?}");
    }
    assert!(rabbit.take(&rabbit.broker.queue).await.is_none());
    rabbit.delete(&rabbit.broker.queue).await;
}

#[tokio::test]
async fn send_test_message_without_a_broker() {
    let port = proxy::free_port();
    let shell = Shell::new().set("LAVINMQ_URL", format!("amqp://ann:s3cret@127.0.0.1:{port}/%2f"));
    let said = shell
        .send_test_message(&["--type", "UPDATED", "--event-id", "1"])
        .await;
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.err.contains("0 of 1 messages confirmed"), "{said:#?}");
    assert!(!said.all().contains("s3cret"), "{said:#?}");
}

#[rstest]
#[tokio::test]
async fn dispatch_and_status(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let db = TestDatabase::new(kind);
    let smtp = SmtpServer::start(Options::default()).await;
    let shell = with_relay(shell(&db), &smtp);
    assert_eq!(shell.herald(&["status"]).await.done(), "No dispatch yet.\n");
    db.add_people(7, 3);
    db.add_numbered(8, "other", 2);
    db.add_numbered(8, "perm", 1);
    std::fs::write(
        shell.folder().join("fine.json"),
        r#"{"type": "UPDATED", "event_id": 7}"#,
    )
    .unwrap();

    let fine = shell.herald(&["dispatch", "fine.json"]).await.done();
    assert!(fine.starts_with("completed: 3 sent (dispatch "), "{fine}");
    let missed = shell
        .herald_reading(&["dispatch", "-"], br#"{"type": "CANCELLED", "event_id": 8}"#)
        .await;
    assert_eq!(missed.code, Some(1), "{missed:#?}");
    assert!(
        missed.out.starts_with("partial: 2 sent, 1 failed (dispatch "),
        "{missed:#?}"
    );
    everybody_once(&smtp, 5);

    let listed = shell.herald(&["status"]).await.done();
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines.len(), 3, "{listed}");
    assert!(
        lines[1].contains("CANCELLED") && lines[1].ends_with("partial     2 sent, 1 failed"),
        "{listed}"
    );
    assert!(
        lines[2].contains("UPDATED") && lines[2].ends_with("completed   3 sent"),
        "{listed}"
    );
    let listed: Value = serde_json::from_str(&shell.herald(&["status", "--json"]).await.done()).unwrap();
    assert_eq!(listed[0]["counts"], json!({"sent": 2, "failed": 1}));
    assert_eq!(listed[0]["total"], json!(3));
    assert_eq!(
        (&listed[1]["status"], &listed[1]["progress"]),
        (&json!("completed"), &json!(1.0))
    );

    let id = listed[0]["id"].as_str().unwrap();
    let detail = shell.herald(&["status", id]).await.done();
    assert!(detail.contains("Outcome    2 sent, 1 failed\n"), "{detail}");
    assert!(
        detail.contains("failed perm0@example.com after 1 attempts: rcpt: 550 5.1.1 no such user"),
        "{detail}"
    );
    let detail: Value = serde_json::from_str(&shell.herald(&["status", id, "--json"]).await.done()).unwrap();
    assert_eq!(detail["missed"].as_array().unwrap().len(), 1);
    assert_eq!(detail["missed"][0]["recipient"], json!("perm0@example.com"));
    let nobody = shell
        .herald(&["status", "01900000-0000-7000-8000-000000000000"])
        .await;
    assert_eq!(nobody.code, Some(1), "{nobody:#?}");
}

#[tokio::test]
async fn refused_bodies() {
    let db = TestDatabase::sqlite();
    let shell = shell(&db);
    let large = vec![b' '; 1_048_577];
    let cases: [(&[u8], &str); 4] = [
        (b"", "refused: invalid-json: "),
        (br#"{"type": "PARTY", "event_id": 1}"#, "refused: unknown-type: "),
        (
            br#"{"type": "UPDATED", "event_id": "1"}"#,
            "refused: invalid-field: event_id",
        ),
        (&large, "refused: too-large: "),
    ];
    for (body, reason) in cases {
        let said = shell.herald_reading(&["dispatch", "-"], body).await;
        assert_eq!(said.code, Some(1), "{said:#?}");
        assert!(said.err.contains(reason), "{reason}: {said:#?}");
    }
    assert_eq!(shell.herald(&["dispatch", "nowhere.json"]).await.code, Some(2));
    assert!(db.dispatches().is_empty());
}

/// Told to stop, it finishes what is under way; the same command takes it up again. Nobody gets two.
#[tokio::test]
async fn interrupted_dispatch() {
    let db = TestDatabase::sqlite();
    let smtp = slow_relay(Duration::from_millis(30)).await;
    let shell = with_relay(shell(&db), &smtp);
    db.add_people(7, 400);
    std::fs::write(
        shell.folder().join("m.json"),
        r#"{"type": "UPDATED", "event_id": 7}"#,
    )
    .unwrap();
    let child = shell.start(&["dispatch", "m.json"]);
    smtp.wait_for(100, LIMIT).await;
    child.sigterm();
    let said = child.said().await;
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(
        said.err.contains("the same command takes it up again"),
        "{said:#?}"
    );
    let taken = smtp.messages().len();
    assert!(taken < 400, "not in mid-run");
    assert_eq!(db.count("sent"), i64::try_from(taken).unwrap());
    shell.herald(&["dispatch", "m.json"]).await.done();
    everybody_once(&smtp, 400);
    assert_eq!(db.dispatch().status, "completed");
}

#[tokio::test]
async fn preview() {
    let shell = Shell::new();
    for (template, subject) in [
        ("created", "New event: "),
        ("updated", "Updated: "),
        ("cancelled", "Cancelled: "),
    ] {
        let text = shell.herald(&["preview", template]).await.done();
        assert!(text.starts_with(&format!("Subject: {subject}")), "{text}");
        let html = shell
            .herald(&["preview", template, "--format", "html"])
            .await
            .done();
        assert!(
            html.starts_with("<!doctype html>") && html.contains("</html>"),
            "{html}"
        );
        let eml = shell
            .herald(&["preview", template, "--format", "eml"])
            .await
            .done();
        let mail = mailparse::parse_mail(eml.as_bytes()).unwrap();
        let kinds: Vec<_> = mail.subparts.iter().map(|p| p.ctype.mimetype.as_str()).collect();
        assert_eq!(&kinds[..2], ["text/plain", "text/html"]);
    }
    for wrong in [
        &["preview", "party"][..],
        &["preview", "created", "--format", "pdf"],
        &["preview"],
    ] {
        assert_eq!(shell.herald(wrong).await.code, Some(2), "{wrong:?}");
    }
    assert_eq!(
        std::fs::read_dir(shell.folder()).unwrap().count(),
        0,
        "no file is made"
    );
}

#[tokio::test]
async fn doctor_finds_nothing() {
    let (db, rabbit, certs) = (TestDatabase::sqlite(), Rabbit::new().await, Certs::make());
    let smtp = SmtpServer::start(Options {
        tls: Tls::StartTls(certs.acceptor()),
        auth: Some(("ann", "s3cret")),
        mechanisms: "PLAIN",
        ..Options::default()
    })
    .await;
    let shell = with_relay(with_broker(shell(&db), &rabbit), &smtp)
        .set("SMTP_USE_TLS", true)
        .set("SMTP_HOST", "localhost")
        .set("SMTP_TLS_CA", certs.ca().display())
        .set("SMTP_USERNAME", "ann")
        .set("SMTP_PASSWORD", "s3cret");
    let said = shell.herald(&["doctor"]).await.done();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 6, "one line each: {said}");
    assert!(lines.iter().all(|line| line.starts_with("ok ")), "{said}");
    assert!(said.contains("greets, STARTTLS, AUTH accepted"), "{said}");
    let checks: Value = serde_json::from_str(&shell.herald(&["doctor", "--json"]).await.done()).unwrap();
    assert!(
        checks
            .as_array()
            .unwrap()
            .iter()
            .all(|check| check["ok"] == json!(true))
    );
    assert!(smtp.messages().is_empty());
    rabbit.delete(&rabbit.broker.queue).await;
}

#[tokio::test]
async fn doctor_finds_everything() {
    let port = proxy::free_port();
    let smtp = SmtpServer::start(Options {
        auth: Some(("ann", "right")),
        mechanisms: "PLAIN",
        ..Options::default()
    })
    .await;
    let shell = with_relay(Shell::new(), &smtp)
        .set(
            "DATABASE_URL",
            format!("postgres://ann:s3cret-db@127.0.0.1:{port}/herald"),
        )
        .set(
            "LAVINMQ_URL",
            format!("amqp://ann:s3cret-mq@127.0.0.1:{port}/%2f"),
        )
        .set("SMTP_USERNAME", "ann")
        .set("SMTP_PASSWORD", "s3cret-smtp")
        .set("TEMPLATES_DIR", "templates");
    let templates = shell.folder().join("templates");
    std::fs::create_dir(&templates).unwrap();
    std::fs::write(templates.join("created.txt"), "{{ nope").unwrap();
    std::fs::write(templates.join("party.txt"), "x").unwrap();
    let tenant = shell.folder().join("configs/acme");
    std::fs::create_dir_all(&tenant).unwrap();
    std::fs::write(tenant.join("notifications.json"), "").unwrap();
    let said = shell.herald(&["doctor"]).await;
    assert_eq!(said.code, Some(1), "{said:#?}");
    let lines: Vec<_> = said.out.lines().collect();
    assert_eq!(lines.len(), 6, "one line each: {said:#?}");
    for (line, [state, check, detail]) in lines.iter().zip([
        ["ok", "configuration", ""],
        ["FAIL", "tenants", "acme/notifications.json: the file is empty"],
        ["FAIL", "templates", "created.txt: line 1"],
        ["FAIL", "database", "refused"],
        ["FAIL", "broker", "refused"],
        ["FAIL", "relay", "535"],
    ]) {
        let fits = line.starts_with(state) && line.contains(check) && line.contains(detail);
        assert!(fits, "{check}: {line}");
    }
    assert!(lines[2].contains("party.txt"), "all of it: {}", lines[2]);
    assert!(!said.all().contains("s3cret"), "{said:#?}");
}

#[tokio::test]
async fn doctor_wants_a_database_that_is_up_to_date() {
    let db = TestDatabase::bare(Kind::Sqlite);
    let said = shell(&db).herald(&["doctor"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("run `herald migrate`"), "{said:#?}");
}

#[tokio::test]
async fn help_and_usage() {
    let shell = Shell::new().set("LAVINMQ_PORT", "not read for this");
    for program in PROGRAMS {
        let help = shell.herald(&[program, "--help"]).await.done();
        assert!(help.contains("Usage: herald "), "{help}");
    }
    let help = shell.herald(&["--help"]).await.done();
    for program in PROGRAMS {
        assert!(
            help.contains(&format!("\n  {program}")),
            "{program} is missing in {help}"
        );
    }
    assert!(help.contains("Exit codes"));
    shell.add_test_data(&["--help"]).await.done();
    shell.send_test_message(&["--help"]).await.done();
    for wrong in [
        &[][..],
        &["party"],
        &["run", "--fast"],
        &["dispatch"],
        &["status", "not-an-id"],
    ] {
        let said = shell.herald(wrong).await;
        assert_eq!(said.code, Some(2), "{wrong:?}: {said:#?}");
        assert!(said.out.is_empty() && !said.err.is_empty(), "{said:#?}");
    }
}

#[tokio::test]
async fn templates_of_ones_own() {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("updated.subject.txt");
    let mail = tempfile::tempdir().unwrap();
    let settings = Settings::new(&db, &rabbit)
        .set("TEMPLATES_DIR", folder.path().display())
        .set("EMAIL_DUMMY_DIR", mail.path().display());

    std::fs::write(&template, "Ahoy: {{ event.titel }}").unwrap();
    let mut worker = settings.spawn();
    assert_eq!(worker.wait_exit(LIMIT).await.code(), Some(2));
    let log = worker.log();
    assert!(
        log.contains("updated.subject.txt: ") && log.contains("titel"),
        "{log}"
    );
    assert_eq!(
        rabbit.ready(&rabbit.broker.queue).await,
        None,
        "it consumed nothing"
    );

    std::fs::write(&template, "Ahoy: {{ event.title }}").unwrap();
    let worker = settings.start().await;
    db.add_people(7, 1);
    rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7, "event": {"title": "Sailing"}}))
        .await;
    db.wait_closed().await;
    worker.stop().await;
    let row = db.row("person0@example.com");
    let eml = mail.path().join(&row.dispatch_id).join(format!("{}.eml", row.id));
    let eml = std::fs::read_to_string(eml).unwrap();
    assert!(eml.contains("\r\nSubject: Ahoy: Sailing\r\n"), "{eml}");
    assert!(
        eml.contains(&format!("\r\nMessage-ID: <{}>\r\n", row.message_id)),
        "{eml}"
    );
    rabbit.clean().await;
}

/// Readable alone, and without the people's addresses; each line of JSON is an object of its own.
#[rstest]
#[tokio::test]
async fn logs(#[values("text", "json")] format: &str) {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let smtp = SmtpServer::start(Options::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("herald.log");
    let worker = Settings::new(&db, &rabbit)
        .relay(&smtp)
        .set("LOG_FORMAT", format)
        .set("LOG_FILE", file.display())
        .set("RETRY_DELAY", "0.05")
        .start()
        .await;
    for prefix in ["person", "perm", "temp"] {
        db.add_numbered(7, prefix, 3);
    }
    db.add(7, &[("impossible person", "Ann Example")]);
    rabbit.send(&json!({"type": "UPDATED", "event_id": 7})).await;
    assert_eq!(db.wait_closed().await.status, "partial");
    rabbit
        .send(&json!({"type": "UPDATED", "event_id": "ann@example.com"}))
        .await;
    rabbit.wait_dead().await;
    let wait = "the last line";
    until(wait, LIMIT, async || {
        worker.log().contains("message refused").then_some(())
    })
    .await;
    let log = worker.log();
    worker.stop().await;
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(
        written.lines().count() >= log.lines().count(),
        "the file has it all, too"
    );
    for text in [&log, &written] {
        for private in [
            "person0",
            "perm0",
            "temp0",
            "impossible person",
            "Ann Example",
            "Person 0",
        ] {
            assert!(!text.contains(private), "{private} in the log");
        }
    }
    for said in [
        "dispatch started",
        "dispatch done",
        "will try again",
        "failed",
        "message refused",
    ] {
        assert!(log.contains(said), "{said} is missing");
    }
    let dispatch = db.dispatch().id;
    assert!(log.contains(&dispatch));
    if format == "json" {
        let lines: Vec<Value> = written
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        let done = lines
            .iter()
            .find(|l| l.to_string().contains("dispatch done"))
            .unwrap();
        assert_eq!(done["level"], json!("INFO"));
        assert!(done.to_string().contains(&dispatch));
    }
    rabbit.clean().await;
}

/// At debug level they are what one looks for.
#[tokio::test]
async fn logs_for_debugging() {
    let (db, rabbit) = (TestDatabase::sqlite(), Rabbit::new().await);
    let worker = Settings::new(&db, &rabbit)
        .set("LOG_LEVEL", "DEBUG")
        .start()
        .await;
    db.add_people(7, 1);
    rabbit.send(&json!({"type": "UPDATED", "event_id": 7})).await;
    db.wait_closed().await;
    until("the line", LIMIT, async || {
        worker.log().contains("person0@example.com").then_some(())
    })
    .await;
    worker.stop().await;
    rabbit.clean().await;
}

/// The reason is the right driver's, and shows nothing secret.
#[rstest]
#[case::postgres("postgres://ann:s3cret@127.0.0.1:{port}/herald", "refused")]
#[case::mysql("mysql://ann:s3cret@127.0.0.1:{port}/herald", "Can't connect")]
#[case::sqlite("sqlite:////nowhere/s/herald.db", "unable to open database file")]
#[case::not_understood("postgres://ann:s3cret%zz@127.0.0.1:{port}/herald", "does not understand")]
#[case::several("postgres://ann:s3cret@127.0.0.1:{port},[::1/herald", "does not understand")]
#[tokio::test]
async fn why_there_is_no_database(#[case] url: &str, #[case] why: &str) {
    let port = proxy::free_port().to_string();
    let shell = Shell::new().set("DATABASE_URL", url.replace("{port}", &port));
    let said = shell.herald(&["migrate"]).await;
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.err.contains(why), "{said:#?}");
    assert!(!said.all().contains("s3cret"), "{said:#?}");
}
