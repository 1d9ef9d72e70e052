use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use rstest::rstest;
use secrecy::ExposeSecret;

use super::*;
use crate::domain::EmailAddress;

fn read(pairs: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let map: HashMap<_, _> = pairs.iter().copied().collect();
    Config::from_lookup(&|name| map.get(name).map(|v| (*v).to_owned()))
}

fn shown(config: &Config) -> String {
    format!("{config:?}")
}

#[test]
fn defaults_are_those_of_the_contract() {
    let c = read(&[]).unwrap();
    assert_eq!(
        c.broker.url.expose_secret(),
        "amqp://guest:guest@localhost:5672/%2F?heartbeat=30"
    );
    assert_eq!(c.broker.shown, "amqp://localhost:5672/");
    assert_eq!(
        (c.broker.queue.as_str(), c.broker.prefetch),
        ("event_notifications", 100)
    );
    assert!(
        matches!(c.database.target, DatabaseTarget::Sqlite(p) if p.as_os_str() == "notification_service.db")
    );
    assert!(!c.database.echo);
    assert!(c.email.dummy && c.email.dummy_dir.is_none() && c.email.unsubscribe_url.is_none());
    assert_eq!(c.email.identity.address.as_str(), "notifications@example.com");
    assert_eq!(c.email.identity.name.as_str(), "Notification Service");
    let relay = c.email.relay;
    assert_eq!(
        (relay.host.as_str(), relay.port, relay.tls),
        ("localhost", 587, TlsMode::StartTls)
    );
    assert!(relay.credentials.is_none() && relay.tls_ca.is_none());
    assert_eq!(relay.connections, 20);
    assert_eq!(relay.timeout, Duration::from_mins(1));
    assert_eq!(relay.data_timeout, Duration::from_mins(10));
    let d = c.delivery;
    assert_eq!((d.batch_size, d.in_flight, d.max_retries), (100, 256, 3));
    assert_eq!(d.on_unknown, OnUnknown::Resend);
    assert_eq!(d.retry_delay, Duration::from_secs(5));
    let minutes = |m: u64| Duration::from_mins(m);
    assert_eq!(d.retry_schedule, [5, 30, 120, 300, 600].map(minutes));
    assert_eq!(d.lease, Duration::from_secs(15));
    assert_eq!(d.park_after, Duration::from_mins(10));
    assert_eq!(d.retention, Duration::from_hours(24 * 90));
    assert!(c.templates_dir.is_none());
    let n = c.notifications;
    assert_eq!(n.path, PathBuf::from("./configs/notifications"));
    assert!(n.enabled && n.root.email.is_none() && n.root.slack.is_none() && n.insecure_hosts.is_empty());
    assert_eq!(c.http.addr, Some(([127, 0, 0, 1], 8004).into()));
    assert!(c.http.token.is_none());
    assert_eq!(c.shutdown_grace, Duration::from_secs(30));
    assert_eq!((c.log.filter.as_str(), c.log.json), ("info,lapin=off", false));
    assert_eq!(c.log.file, Some(PathBuf::from("notification_service.log")));
}

#[test]
fn empty_counts_as_unset_with_three_exceptions() {
    let empty: Vec<_> = VARIABLES.iter().map(|v| (*v, "")).collect();
    let c = read(&empty).unwrap();
    assert_eq!(c.http.addr, None);
    assert!(c.delivery.retry_schedule.is_empty());
    assert_eq!(c.log.file, None);
    assert_eq!(c.broker.prefetch, 100);
    assert!(c.email.dummy);
}

#[rstest]
#[case("LAVINMQ_PREFETCH", "1", "prefetch: 1 }")]
#[case("LAVINMQ_HOST", "mq.example.com", "amqp://mq.example.com:5672/")]
#[case("LAVINMQ_VHOST", "a/b", "amqp://localhost:5672/a/b")]
#[case("LAVINMQ_URL", "amqps://mq.example.com", "amqps://mq.example.com:5671/")]
#[case("LAVINMQ_URL", "amqp://u:p@127.0.0.1:5673/prod", "amqp://127.0.0.1:5673/prod")]
#[case("DATABASE_URL", "sqlite:///rel/a.db", "Sqlite(\"rel/a.db\")")]
#[case("DATABASE_URL", "sqlite:////abs/a%20b.db", "Sqlite(\"/abs/a%20b.db\")")]
#[case("DATABASE_URL", "sqlite+aiosqlite:///a.db", "Sqlite(\"a.db\")")]
#[case("DATABASE_ECHO", "Yes", "echo: true")]
#[case("EMAIL_DUMMY_MODE", "no", "dummy: false")]
#[case("EMAIL_DUMMY_DIR", "/tmp/out", "dummy_dir: Some(\"/tmp/out\")")]
#[case("SMTP_HOST", "[::1]", "host: \"::1\"")]
#[case("SMTP_PORT", "465", "tls: Implicit")]
#[case("SMTP_PORT", "25", "tls: StartTls")]
#[case("SMTP_USE_TLS", "0", "tls: None")]
#[case("SMTP_TLS_CA", "ca.pem", "tls_ca: Some(\"ca.pem\")")]
#[case("SMTP_TIMEOUT", "500ms", "timeout: 500ms")]
#[case("SMTP_DATA_TIMEOUT", "10m", "data_timeout: 600s")]
#[case("FROM_EMAIL", "a@EXAMPLE.com", "a@example.com")]
#[case("SMTP_FROM", "b@example.com", "b@example.com")]
#[case("FROM_NAME", "A\tB", "DisplayName(\"A B\")")]
#[case("UNSUBSCRIBE_URL", "https://example.com/u/{participant_id}", "ParticipantId")]
#[case("BATCH_SIZE", "10000", "batch_size: 10000")]
#[case("IN_FLIGHT", " 1 ", "in_flight: 1,")]
#[case("ON_UNKNOWN", "hold", "on_unknown: Hold")]
#[case("MAX_RETRIES", "0", "max_retries: 0")]
#[case("RETRY_DELAY", "0.25", "retry_delay: 250ms")]
#[case("RETRY_SCHEDULE", "1s, 2m", "retry_schedule: [1s, 120s]")]
#[case("LEASE", "1h", "lease: 3600s")]
#[case("PARK_AFTER", "90s", "park_after: 90s")]
#[case("SMTP_RATE_LIMIT", "14", "rate_limit: 14")]
#[case("TEMPLATES_DIR", "t", "templates_dir: Some(\"t\")")]
#[case("NOTIFICATIONS_ENABLED", "no", "NotificationsConfig { enabled: false")]
#[case("NOTIFICATIONS_CONFIG_PATH", "/etc/herald", "path: \"/etc/herald\"")]
#[case("EMAIL_NOTIFICATIONS_ENABLED", "false", "RootVariables { email: None")]
#[case("EMAIL_SMTP_HOST", "smtp.example.com", "RootVariables { email: None")]
#[case("EMAIL_SMTP_PORT", "465", "RootVariables { email: None")]
#[case("EMAIL_TO_ADDRESSES", "a@example.com", "RootVariables { email: None")]
#[case("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/x", "slack: None")]
#[case("SLACK_CHANNEL", "#data", "slack: None")]
#[case(
    "SLACK_ALLOW_INSECURE_HOSTS",
    "Gateway.TEST, [::1],10.0.0.7",
    "[\"gateway.test\", \"::1\", \"10.0.0.7\"]"
)]
#[case("HTTP_ADDR", "[::1]:0", "[::1]:0")]
#[case("HTTP_ADDR", "localhost:80", "127.0.0.1:80")]
#[case("SHUTDOWN_GRACE", "0", "shutdown_grace: 0ns")]
#[case("LOG_LEVEL", "CRITICAL", "filter: \"error,lapin=off\"")]
#[case("LOG_LEVEL", "warning", "filter: \"warn,lapin=off\"")]
#[case("LOG_LEVEL", "DEBUG", "filter: \"info,herald=debug,lapin=off\"")]
#[case("LOG_LEVEL", "info,herald::mailer=trace", "herald::mailer=trace")]
#[case("LOG_FORMAT", "JSON", "json: true")]
#[case("LOG_FILE", "/var/log/h.log", "file: Some(\"/var/log/h.log\")")]
#[case("OC_STORAGE_TYPE", "file", "File(\"./bundles\")")]
#[case("OC_S3_PREFIX", "a/b/", "")]
#[case("COMPLETIONS_EXCHANGE", "done", "exchange: Some(\"done\")")]
#[case(
    "ATTACHMENT_HOSTS",
    "Files.Example.com",
    "attachment_hosts: [\"files.example.com\"]"
)]
fn taken(#[case] name: &str, #[case] value: &str, #[case] part: &str) {
    let config = shown(&read(&[(name, value)]).unwrap());
    assert!(config.contains(part), "{config}");
}

#[rstest]
#[case("LAVINMQ_HOST", "a b")]
#[case("LAVINMQ_HOST", "::1")]
#[case("LAVINMQ_PORT", "0")]
#[case("LAVINMQ_PORT", "65536")]
#[case("LAVINMQ_QUEUE", "amq.events")]
#[case("LAVINMQ_QUEUE", "a\nb")]
#[case("LAVINMQ_PREFETCH", "0")]
#[case("LAVINMQ_PREFETCH", "-1")]
#[case("LAVINMQ_URL", "http://localhost")]
#[case("LAVINMQ_URL", "localhost:5672")]
#[case("LAVINMQ_URL", "amqp://[::1]/")]
#[case("LAVINMQ_URL", "amqp:///v")]
#[case("LAVINMQ_URL", "amqp://h:99999/")]
#[case("LAVINMQ_URL", "amqp://h/v?heartbeat=x")]
#[case("LAVINMQ_URL", "amqp://u:p#q@h/v")]
#[case("DATABASE_URL", "oracle://h/d")]
#[case("DATABASE_URL", "a.db")]
#[case("DATABASE_URL", "sqlite://a.db")]
#[case("DATABASE_URL", "sqlite:///")]
#[case("DATABASE_URL", "sqlite:///:memory:")]
#[case("DATABASE_URL", "sqlite:///a.db?mode=ro")]
#[case("DATABASE_URL", "mysql://h")]
#[case("DATABASE_URL", "mysql:///d")]
#[case("DATABASE_URL", "postgres://")]
#[case("DATABASE_URL", "postgres://h:99999/d")]
#[case("DATABASE_ECHO", "on")]
#[case("EMAIL_DUMMY_MODE", "maybe")]
#[case("SMTP_HOST", "a/b")]
#[case("SMTP_PORT", "smtp")]
#[case("SMTP_CONNECTIONS", "0")]
#[case("SMTP_TIMEOUT", "0")]
#[case("SMTP_TIMEOUT", "1w")]
#[case("FROM_EMAIL", "nobody")]
#[case("SMTP_FROM", "a@b\r\nc")]
#[case("UNSUBSCRIBE_URL", "https://example.com/{name}")]
#[case("BATCH_SIZE", "10001")]
#[case("IN_FLIGHT", "0")]
#[case("ON_UNKNOWN", "drop")]
#[case("MAX_RETRIES", "1.5")]
#[case("RETRY_DELAY", "-1")]
#[case("RETRY_SCHEDULE", "5m,,1h")]
#[case("RETRY_SCHEDULE", "never")]
#[case("LEASE", "1ms")]
#[case("PARK_AFTER", "0")]
#[case("RETENTION", "0")]
#[case("SMTP_RATE_LIMIT", "-1")]
#[case("LEASE", "2h")]
#[case("NOTIFICATIONS_ENABLED", "on")]
#[case("EMAIL_NOTIFICATIONS_ENABLED", "on")]
#[case("EMAIL_SMTP_HOST", "a/b")]
#[case("EMAIL_SMTP_PORT", "0")]
#[case("EMAIL_FROM_ADDRESS", "nobody")]
#[case("EMAIL_TO_ADDRESSES", "a@example.com,")]
#[case("EMAIL_TO_ADDRESSES", "a@example.com;b@example.com")]
#[case("SLACK_NOTIFICATIONS_ENABLED", "on")]
#[case("SLACK_WEBHOOK_URL", "http://hooks.slack.com/services/x")]
#[case("SLACK_CHANNEL", "<!here>")]
#[case("SLACK_ALLOW_INSECURE_HOSTS", "http://a")]
#[case("SLACK_ALLOW_INSECURE_HOSTS", "a,,b")]
#[case("SLACK_ALLOW_INSECURE_HOSTS", "a:80")]
#[case("HTTP_ADDR", "8004")]
#[case("HTTP_ALLOWED_ORIGINS", "gateway.example.com")]
#[case("HTTP_ALLOWED_ORIGINS", "https://a.example, *")]
#[case("HTTP_ALLOWED_ORIGINS", "https://a.example/,")]
#[case("SHUTDOWN_GRACE", "2d")]
#[case("LOG_LEVEL", "loud")]
#[case("LOG_LEVEL", "herald=loud")]
#[case("LOG_FORMAT", "xml")]
#[case("SOURCE", "kafka")]
#[case("SQS_QUEUE_NAME", "a b")]
#[case("AWS_ENDPOINT_URL", "localhost:4566")]
#[case("AWS_REGION", "eu central")]
#[case("OC_STORAGE_TYPE", "ftp")]
#[case("OC_S3_BUCKET", "A_b")]
#[case("OC_S3_BUCKET", "data-${UNSET}")]
#[case("OC_S3_BUCKET", "data-${UNSET")]
#[case("OC_S3_PREFIX", "a/../b")]
#[case("OC_SQS_QUEUE_URL", "queue")]
#[case("COMPLETIONS_EXCHANGE", "amq.topic")]
#[case("ATTACHMENT_HOSTS", "https://a")]
fn refused(#[case] name: &str, #[case] value: &str) {
    let errors = read(&[(name, value)]).unwrap_err();
    assert_eq!(errors.problems().len(), 1, "{errors}");
    assert_eq!(errors.problems()[0].variable, name);
    assert!(!errors.problems()[0].message.contains('\n'));
}

#[rstest]
#[case(
    "postgresql+asyncpg://u:p%40ss@h:5432/d?sslmode=require",
    "postgres://u:p%40ss@h:5432/d?sslmode=require"
)]
#[case("postgres://u@a:1,b:2/d", "postgres://u@a:1,b:2/d")]
#[case("postgresql:///d", "postgres:///d")]
#[case("mysql+pymysql://u:p%2F@h/d", "mysql://u:p%2F@h/d")]
#[case("MariaDB://u@h:3306/d", "mysql://u@h:3306/d")]
fn database_urls(#[case] given: &str, #[case] kept: &str) {
    match read(&[("DATABASE_URL", given)]).unwrap().database.target {
        DatabaseTarget::Postgres(url) | DatabaseTarget::Mysql(url) => assert_eq!(url.expose_secret(), kept),
        DatabaseTarget::Sqlite(path) => panic!("{path:?}"),
    }
}

#[test]
fn broker_parts_are_encoded_and_the_url_replaces_them() {
    let five = [
        ("LAVINMQ_USERNAME", "a@b"),
        ("LAVINMQ_PASSWORD", "p:/?#% ü"),
        ("LAVINMQ_VHOST", "/v"),
    ];
    let url = read(&five).unwrap().broker.url;
    let uri: lapin::uri::AMQPUri = url.expose_secret().parse().unwrap();
    assert_eq!(uri.authority.userinfo.username, "a@b");
    assert_eq!(uri.authority.userinfo.password, "p:/?#% ü");
    assert_eq!(uri.vhost, "/v");

    let url = "amqp://h/%2f?heartbeat=5";
    let broker = read(&[("LAVINMQ_URL", url), ("LAVINMQ_PORT", "nonsense")])
        .unwrap()
        .broker;
    assert_eq!(
        broker.url.expose_secret(),
        "amqp://guest:guest@h:5672/%2F?heartbeat=5"
    );
    let slash = read(&[("LAVINMQ_URL", "amqp://h/")]).unwrap().broker;
    assert!(slash.url.expose_secret().contains("/%2F?"));
}

#[rstest]
#[case(&[("SMTP_USERNAME", "u")], Some("SMTP_PASSWORD"))]
#[case(&[("SMTP_PASSWORD", "p")], Some("SMTP_USERNAME"))]
#[case(&[("SMTP_USERNAME", "u"), ("SMTP_PASSWORD", "p")], None)]
#[case(&[("SMTP_USERNAME", "u"), ("SMTP_PASSWORD", "p"), ("SMTP_USE_TLS", "no")], None)]
#[case(&[("SMTP_USERNAME", "u"), ("SMTP_PASSWORD", "p"), ("SMTP_USE_TLS", "no"), ("SMTP_HOST", "127.0.0.2")], None)]
#[case(&[("SMTP_USERNAME", "u"), ("SMTP_PASSWORD", "p"), ("SMTP_USE_TLS", "no"), ("SMTP_HOST", "h")], Some("SMTP_USE_TLS"))]
#[case(&[("EMAIL_NOTIFICATIONS_ENABLED", "yes")], Some("EMAIL_TO_ADDRESSES"))]
#[case(&[("EMAIL_NOTIFICATIONS_ENABLED", "yes"), ("EMAIL_TO_ADDRESSES", "x")], Some("EMAIL_TO_ADDRESSES"))]
#[case(&[("EMAIL_SMTP_HOST", "h"), ("EMAIL_SMTP_USERNAME", "u")], Some("EMAIL_SMTP_PASSWORD"))]
#[case(&[("EMAIL_SMTP_HOST", "h"), ("EMAIL_SMTP_PASSWORD", "p")], Some("EMAIL_SMTP_USERNAME"))]
#[case(&[("EMAIL_SMTP_USERNAME", "u"), ("EMAIL_SMTP_PASSWORD", "p")], Some("EMAIL_SMTP_HOST"))]
#[case(&[("SLACK_NOTIFICATIONS_ENABLED", "yes")], Some("SLACK_WEBHOOK_URL"))]
#[case(&[("SLACK_NOTIFICATIONS_ENABLED", "yes"), ("SLACK_WEBHOOK_URL", "http://g.test/x")], Some("SLACK_WEBHOOK_URL"))]
#[case(&[("SLACK_ALLOW_INSECURE_HOSTS", "g.test"), ("SLACK_WEBHOOK_URL", "http://g.test/x")], None)]
#[case(&[("HTTP_ADDR", "0.0.0.0:80")], Some("API_TOKEN"))]
#[case(&[("HTTP_ADDR", "[::]:80"), ("API_TOKEN", "a b")], Some("API_TOKEN"))]
#[case(&[("HTTP_ADDR", "0.0.0.0:80"), ("API_TOKEN", "t")], None)]
#[case(&[("HTTP_ADDR", "127.9.9.9:80")], None)]
fn values_that_belong_together(#[case] pairs: &[(&str, &str)], #[case] wrong: Option<&str>) {
    match (read(pairs), wrong) {
        (Ok(_), None) => {}
        (Err(e), Some(name)) => {
            assert_eq!(e.problems().len(), 1, "{e}");
            assert_eq!(e.problems()[0].variable, name);
        }
        (result, wrong) => panic!("{result:?} instead of {wrong:?}"),
    }
}

#[test]
fn from_email_goes_before_its_alias() {
    let both = [("FROM_EMAIL", "a@example.com"), ("SMTP_FROM", "b@example.com")];
    assert_eq!(
        read(&both).unwrap().email.identity.address.as_str(),
        "a@example.com"
    );
}

#[test]
fn variables_in_place_of_the_roots_file() {
    let root = read(&[
        ("EMAIL_NOTIFICATIONS_ENABLED", "true"),
        ("EMAIL_SMTP_HOST", "smtp.example.com"),
        ("EMAIL_SMTP_PORT", "465"),
        ("EMAIL_SMTP_USERNAME", "u"),
        ("EMAIL_SMTP_PASSWORD", "s3cr3t"),
        ("EMAIL_FROM_ADDRESS", "alerts@example.com"),
        ("EMAIL_TO_ADDRESSES", "a@example.com, b@EXAMPLE.com,a@example.com"),
        ("SLACK_NOTIFICATIONS_ENABLED", "true"),
        ("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/s3cr3t"),
        ("SLACK_CHANNEL", "#data"),
    ])
    .unwrap()
    .notifications
    .root;
    assert!(!format!("{root:?}").contains("s3cr3t"), "{root:?}");
    let (email, slack) = (root.email.unwrap(), root.slack.unwrap());
    let relay = email.relay.unwrap();
    assert_eq!((relay.port, relay.tls), (465, TlsMode::Implicit));
    assert!(relay.credentials.is_some());
    assert_eq!(email.from.unwrap().as_str(), "alerts@example.com");
    let to: Vec<_> = email.to.iter().map(EmailAddress::as_str).collect();
    assert_eq!(to, ["a@example.com", "b@example.com"]);
    assert_eq!(slack.channel.as_deref(), Some("#data"));
}

#[test]
fn an_environment_shows_nothing_and_stays() {
    let variables = HashMap::from([("SECRET".to_owned(), "s3cr3t".to_owned())]);
    let config = Config::from_environment(&variables.into()).unwrap();
    assert_eq!(config.environment.get("SECRET").as_deref(), Some("s3cr3t"));
    assert!(!shown(&config).contains("s3cr3t"));
}

#[test]
fn all_problems_at_once() {
    let errors = read(&[("SMTP_PORT", "x"), ("BATCH_SIZE", "0"), ("SOURCE", "kafka")]).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "the configuration has 3 problems:\n  \
         SOURCE: takes amqp or sqs, not `kafka`\n  \
         SMTP_PORT: takes an integer from 1 to 65535, not `x`\n  \
         BATCH_SIZE: takes an integer from 1 to 10000, not `0`"
    );
}

#[test]
fn secrets_are_never_shown() {
    let secret = "s3cr3t word";
    let url = format!("ftp://u:{secret}@h/d");
    let wrong = [
        ("LAVINMQ_URL", url.as_str()),
        ("DATABASE_URL", &url),
        ("API_TOKEN", secret),
        ("SMTP_PASSWORD", secret),
    ];
    let errors = read(&wrong).unwrap_err();
    assert_eq!(errors.problems().len(), 4, "{errors}");
    assert!(!format!("{errors}{errors:?}").contains("s3cr3t"));

    let right = [
        ("LAVINMQ_PASSWORD", "s3cr3t"),
        ("DATABASE_URL", "mysql://u:s3cr3t@h/d"),
        ("API_TOKEN", "s3cr3t"),
        ("SMTP_USERNAME", "u"),
        ("SMTP_PASSWORD", "s3cr3t"),
    ];
    assert!(!shown(&read(&right).unwrap()).contains("s3cr3t"));
}

#[test]
fn the_list_of_variables_is_what_is_read() {
    let seen = RefCell::new(BTreeSet::new());
    for url in [None, Some("amqp://h")] {
        let config = Config::from_lookup(&|name| {
            seen.borrow_mut().insert(name.to_owned());
            url.filter(|_| name == "LAVINMQ_URL").map(str::to_owned)
        });
        assert!(config.is_ok());
    }
    let listed: BTreeSet<_> = VARIABLES.iter().map(|v| (*v).to_owned()).collect();
    assert_eq!(seen.into_inner(), listed);
}

#[test]
fn what_needs_aws_says_what_is_missing() {
    let names = |variables: &[(&str, &str)]| {
        let errors = read(variables).unwrap_err();
        let names: Vec<_> = errors.problems().iter().map(|p| p.variable.clone()).collect();
        names.join(" ")
    };
    assert_eq!(names(&[("SOURCE", "sqs")]), "AWS_REGION");
    assert_eq!(
        names(&[("OC_STORAGE_TYPE", "s3"), ("AWS_REGION", "eu-west-1")]),
        "OC_S3_BUCKET"
    );
    let s3 = [
        ("OC_STORAGE_TYPE", "s3"),
        ("OC_S3_BUCKET", "data"),
        ("AWS_REGION", "eu-west-1"),
    ];
    assert_eq!(names(&s3), "OC_SQS_QUEUE_URL");
    assert_eq!(names(&[("AWS_ACCESS_KEY_ID", "x")]), "AWS_SECRET_ACCESS_KEY");
    assert_eq!(
        names(&[("OC_SQS_QUEUE_URL", "http://127.0.0.1:1/q")]),
        "AWS_REGION"
    );
}

#[test]
fn sqs_is_a_source() {
    let endpoint = ("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    let config = read(&[("SOURCE", "SQS"), endpoint]).unwrap();
    let queue = "notification-queue".to_owned();
    assert_eq!(config.source, SourceKind::Sqs { queue });
}

#[test]
fn a_bucket_is_filled_in() {
    let variables = HashMap::from([
        ("STAGE".to_owned(), "prod".to_owned()),
        ("OC_STORAGE_TYPE".to_owned(), "s3".to_owned()),
        ("OC_S3_BUCKET".to_owned(), "data-${STAGE}-x".to_owned()),
        ("OC_S3_PREFIX".to_owned(), "a/b/".to_owned()),
        ("AWS_REGION".to_owned(), "eu-west-1".to_owned()),
        ("COMPLETIONS_EXCHANGE".to_owned(), "done".to_owned()),
    ]);
    let config = Config::from_environment(&variables.into()).unwrap();
    let (bucket, prefix) = ("data-prod-x".to_owned(), "a/b".to_owned());
    assert_eq!(config.storage.kind, StorageKind::S3 { bucket, prefix });
}
