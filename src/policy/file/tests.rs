use std::collections::HashMap;

use proptest::prelude::*;
use rstest::rstest;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;
use crate::config::TlsMode;
use crate::domain::Severity;
use crate::message::MessageKind;

const VARIABLES: [(&str, &str); 6] = [
    ("ACME_SMTP_PASSWORD", "s3cr3t"),
    ("ACME_WEBHOOK", "T0/B0/s3cr3t"),
    ("ACME_FROM", "s3cr3t-sender@acme.com"),
    ("ACME_BAD", "s3cr3t nonsense"),
    ("ACME_BREAK", "s3cr3t\n"),
    ("DATABASE_URL", "sqlite:///s3cr3t.db"),
];

fn environment() -> Environment {
    let map: HashMap<_, _> = VARIABLES.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    map.into()
}

fn read_as(tenant: Option<&str>, bytes: &[u8]) -> Result<Read, Vec<String>> {
    let tenant = tenant.map(|id| id.parse().unwrap());
    let context = Context {
        tenant: tenant.as_ref(),
        environment: &environment(),
        insecure_hosts: &["gateway.test".to_owned()],
    };
    read(bytes, context).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn good(value: &Value) -> TenantConfig {
    match read_as(Some("acme"), value.to_string().as_bytes()) {
        Ok(read) => read.config,
        Err(problems) => panic!("{problems:?}"),
    }
}

fn problems_of(text: &str) -> Vec<String> {
    match read_as(Some("acme"), text.as_bytes()) {
        Ok(read) => panic!("{text} was taken: {}", read.shown),
        Err(problems) => problems,
    }
}

#[test]
fn the_contracts_example() {
    let config = good(&json!({
        "enabled": true, "tenant_id": "acme", "muted": false, "weight": 1, "default_provider": "slack",
        "max_retries": 3.0, "retry_delay_seconds": 0.5, "timeout_seconds": 30,
        "email": {"enabled": true, "smtp_host": "smtp.office365.com", "smtp_port": 587, "smtp_username": "u",
                  "smtp_password": "${ACME_SMTP_PASSWORD}", "smtp_use_tls": true, "from_email": "alerts@acme.com",
                  "from_name": "Acme", "to_emails": ["data@acme.com", "data@ACME.com"],
                  "cc_emails": ["data@acme.com", "cc@acme.com"]},
        "slack": {"enabled": true, "webhook_url": "https://hooks.slack.com/services/${ACME_WEBHOOK}",
                  "channel": "#data-alerts", "mention_users": ["U123"], "mention_channel": false},
        "event_triggers": [{"event": "pipeline_failure", "enabled": true, "severity": "error",
                            "providers": ["both"], "cooldown_seconds": 180}]
    }));
    assert_eq!(config.max_retries, Some(3));
    assert_eq!(config.retry_delay, Some(Duration::from_millis(500)));
    assert_eq!(
        config.default_provider,
        Some(Providers {
            email: false,
            slack: true
        })
    );
    let email = config.email.as_ref().unwrap();
    let relay = email.relay.as_ref().unwrap();
    assert_eq!(
        (relay.host.as_str(), relay.port, relay.tls),
        ("smtp.office365.com", 587, TlsMode::StartTls)
    );
    let (user, password) = relay.credentials.as_ref().unwrap();
    assert_eq!((user.as_str(), password.expose_secret()), ("u", "s3cr3t"));
    assert_eq!((email.to.len(), email.cc.len()), (1, 1));
    let slack = config.slack.as_ref().unwrap();
    assert_eq!(
        slack.webhook.as_ref().unwrap().expose(),
        "https://hooks.slack.com/services/T0/B0/s3cr3t"
    );
    let trigger = config
        .trigger(MessageKind::from_word("pipeline_failure").unwrap())
        .unwrap();
    assert_eq!(trigger.cooldown, Some(Duration::from_mins(3)));
    assert_eq!(trigger.severity, Some(Severity::Error));
    assert_eq!(
        trigger.providers,
        Some(Providers {
            email: true,
            slack: true
        })
    );
    assert!(!format!("{config:?}").contains("s3cr3t"), "{config:?}");
}

#[test]
fn everything_but_enabled_is_optional() {
    let config = good(&json!({"enabled": false, "email": {}, "muted": null,
        "slack": {"enabled": false}, "event_triggers": [{"event": "CREATED"}]}));
    assert!(!config.enabled && !config.muted && config.timeout.is_none());
    assert!((config.weight - 1.0).abs() < f64::EPSILON);
    let email = config.email.unwrap();
    assert!(email.enabled && email.relay.is_none() && email.to.is_empty());
    assert!(config.slack.unwrap().webhook.is_none());
    assert!(config.triggers[0].enabled);
}

#[rstest]
#[case(json!({"smtp_host": "h"}), 587, TlsMode::StartTls)]
#[case(json!({"smtp_host": "h", "smtp_port": 465}), 465, TlsMode::Implicit)]
#[case(json!({"smtp_host": "h", "smtp_port": 25.0, "smtp_use_tls": false}), 25, TlsMode::None)]
#[case(json!({"smtp_host": "127.0.0.1", "smtp_use_tls": false, "smtp_username": "u", "smtp_password": "p"}), 587, TlsMode::None)]
#[case(json!({"smtp_host": "[::1]", "smtp_use_tls": false, "smtp_username": "u", "smtp_password": "p"}), 587, TlsMode::None)]
fn relays(#[case] email: Value, #[case] port: u16, #[case] tls: TlsMode) {
    let config = good(&json!({"enabled": true, "email": email}));
    let relay = config.email.unwrap().relay.unwrap();
    assert_eq!((relay.port, relay.tls), (port, tls));
}

#[rstest]
#[case("", "the file is empty")]
#[case(" \n", "the file is empty")]
#[case("{\"enabled\": tr", "EOF while parsing")]
#[case("{\"enabled\": true", "EOF while parsing")]
#[case("{\"enabled\": true} x", "trailing characters")]
#[case("[]", "the file is an array, not an object")]
#[case("\u{feff}{\"enabled\": true}", "the file begins with a byte order mark")]
#[case("{\"enabled\": true, \"enabled\": false}", "the key `enabled` stands twice")]
fn no_json(#[case] text: &str, #[case] why: &str) {
    let problems = problems_of(text);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with(why), "{problems:?}");
}

#[test]
fn not_utf8_and_too_large() {
    let problems = read_as(None, b"{\"enabled\": \"\xff\"}").err().unwrap();
    assert_eq!(problems, ["the file is not UTF-8 at byte 13"]);
    let problems = read_as(None, &vec![b' '; MAX_FILE + 1]).err().unwrap();
    assert_eq!(problems, ["the file has 262145 bytes, 262144 at most are taken"]);
    assert_eq!(problems_of(&"[".repeat(200_000)).len(), 1);
}

#[rstest]
#[case(json!({}), "enabled: is missing: true or false")]
#[case(json!({"enabled": null}), "enabled: is missing: true or false")]
#[case(json!({"enabled": "yes"}), "enabled: takes true or false, not a string")]
#[case(json!({"tenant_id": "other"}), "tenant_id: takes the name of its folder, acme, not `other`")]
#[case(json!({"tenant_id": "../x"}), "tenant_id: takes an id (a tenant id is 1 to 63 of a-z, 0-9, _ and -, beginning with a letter or digit), not `../x`")]
#[case(json!({"muted": 1}), "muted: takes true or false, not an integer")]
#[case(json!({"weight": 0}), "weight: takes a number from 0.01 to 1000, not 0")]
#[case(json!({"weight": 1001.5}), "weight: takes a number from 0.01 to 1000, not 1001.5")]
#[case(json!({"default_provider": "sms"}), "default_provider: takes email, slack or both, not `sms`")]
#[case(json!({"max_retries": 1.5}), "max_retries: takes an integer from 0 to 100, not 1.5")]
#[case(json!({"max_retries": 101}), "max_retries: takes an integer from 0 to 100, not 101")]
#[case(json!({"max_retries": "3"}), "max_retries: takes an integer from 0 to 100, not a string")]
#[case(json!({"retry_delay_seconds": -1}), "retry_delay_seconds: takes a number of seconds from 0 to 3600, not -1")]
#[case(json!({"timeout_seconds": 0}), "timeout_seconds: takes a number of seconds above 0, at most 3600, not 0")]
#[case(json!({"email": []}), "email: takes an object, not a list")]
#[case(json!({"emial": {}}), "emial: unknown key; did you mean email?")]
#[case(json!({"event_trigger": []}), "event_trigger: unknown key; did you mean event_triggers?")]
#[case(json!({"zzz": {}}), "zzz: unknown key; known are enabled, tenant_id, weight, retry_delay_seconds, timeout_seconds, muted, default_provider, max_retries, email, slack, event_triggers")]
#[case(json!({"a\r\nb": 1}), "a b: unknown key")]
#[case(json!({"email": {"smpt_host": "h"}}), "email.smpt_host: unknown key; did you mean smtp_host?")]
#[case(json!({"email": {"smtp_host": "a/b"}}), "email.smtp_host: takes a host name or an IP address")]
#[case(json!({"email": {"smtp_host": "smtp://u:s3cr3t@h:587"}}), "email.smtp_host: takes a host name or an IP address")]
#[case(json!({"email": {"smtp_host": "h", "smtp_port": 0}}), "email.smtp_port: takes an integer from 1 to 65535, not 0")]
#[case(json!({"email": {"smtp_host": "h", "smtp_port": 70000}}), "email.smtp_port: takes an integer from 1 to 65535, not 70000")]
#[case(json!({"email": {"smtp_host": "h", "smtp_port": "587"}}), "email.smtp_port: takes an integer from 1 to 65535, not a string")]
#[case(json!({"email": {"smtp_port": 587}}), "email.smtp_port: has no meaning here: without email.smtp_host the environment's relay applies whole")]
#[case(json!({"email": {"smtp_use_tls": false}}), "email.smtp_use_tls: has no meaning here: without email.smtp_host")]
#[case(json!({"email": {"smtp_host": "h", "smtp_username": "u"}}), "email.smtp_password: is missing: it has to be there where email.smtp_username is")]
#[case(json!({"email": {"smtp_host": "h", "smtp_password": "p"}}), "email.smtp_username: is missing: it has to be there where email.smtp_password is")]
#[case(json!({"email": {"smtp_host": "h", "smtp_username": "u", "smtp_password": "p", "smtp_use_tls": false}}), "email.smtp_use_tls: has to be true where email.smtp_password is set, unless email.smtp_host is loopback")]
#[case(json!({"email": {"smtp_host": "h", "smtp_username": "u", "smtp_password": "${ACME_BREAK}"}}), "email.smtp_password: takes 1 to 1000 bytes without line breaks")]
#[case(json!({"email": {"smtp_host": "h", "smtp_username": "u", "smtp_password": 7}}), "email.smtp_password: takes a string, not an integer")]
#[case(json!({"email": {"from_email": "nobody"}}), "email.from_email: takes an e-mail address (the address has no @), not `nobody`")]
#[case(json!({"email": {"from_email": "${ACME_BAD}"}}), "email.from_email: takes an e-mail address (the address has no @), not `${ACME_BAD}`")]
#[case(json!({"email": {"from_email": "${ACME_MISSING}"}}), "email.from_email: the variable ACME_MISSING is not set")]
#[case(json!({"email": {"from_name": "A\r\nBcc: eve@example.com"}}), "email.from_name: takes a name of at most 120 characters without line breaks and other control characters, not `A Bcc: eve@example.com`")]
#[case(json!({"email": {"from_name": "A\nB"}}), "email.from_name: takes a name")]
#[case(json!({"email": {"from_name": "A\u{0}"}}), "email.from_name: takes a name")]
#[case(json!({"email": {"to_emails": "a@example.com"}}), "email.to_emails: takes a list, not a string")]
#[case(json!({"email": {"to_emails": ["a@example.com", "b"]}}), "email.to_emails[1]: takes an e-mail address (the address has no @), not `b`")]
#[case(json!({"email": {"cc_emails": [1]}}), "email.cc_emails[0]: takes a string, not an integer")]
#[case(json!({"email": {"to_emails": vec!["a@example.com"; 51]}}), "email.to_emails: takes a list of at most 50 entries, not 51")]
#[case(json!({"slack": {}}), "slack.webhook_url: is missing: Slack is enabled here")]
#[case(json!({"slack": {"webhook_url": "http://hooks.slack.com/services/s3cr3t"}}), "slack.webhook_url: takes an https://hooks.slack.com/")]
#[case(json!({"slack": {"webhook_url": "file:///etc/s3cr3t"}}), "slack.webhook_url: takes an https://hooks.slack.com/")]
#[case(json!({"slack": {"webhook_url": "https://169.254.169.254/s3cr3t"}}), "slack.webhook_url: takes an https://hooks.slack.com/")]
#[case(json!({"slack": {"webhook_url": "https://hooks.slack.com@evil.test/s3cr3t"}}), "slack.webhook_url: takes an https://hooks.slack.com/")]
#[case(json!({"slack": {"webhook_url": "${DATABASE_URL}"}}), "slack.webhook_url: takes no ${DATABASE_URL}: that is Herald's own")]
#[case(json!({"slack": {"webhook_url": ["s3cr3t"]}}), "slack.webhook_url: takes a string, not a list")]
#[case(json!({"slack": {"enabled": false, "channel": "<!here>"}}), "slack.channel: takes a channel such as #data-alerts")]
#[case(json!({"slack": {"enabled": false, "mention_users": ["U1", "U1> <!here"]}}), "slack.mention_users[1]: takes the id of a user or group in Slack such as U0123ABCD, not `U1> <!here`")]
#[case(json!({"slack": {"enabled": false, "channel": "https://hooks.slack.com/services/s3cr3t"}}), "slack.channel: takes a channel such as #data-alerts")]
#[case(json!({"event_triggers": {}}), "event_triggers: takes a list, not an object")]
#[case(json!({"event_triggers": ["pipeline_failure"]}), "event_triggers[0]: takes an object, not a string")]
#[case(json!({"event_triggers": [{}]}), "event_triggers[0].event: is missing")]
#[case(json!({"event_triggers": [{"event": "pipeline_failed"}]}), "event_triggers[0].event: takes a message's type (did you mean pipeline_failure?), not `pipeline_failed`")]
#[case(json!({"event_triggers": [{"event": "zzz"}]}), "event_triggers[0].event: takes a message's type: one of CREATED, UPDATED")]
#[case(json!({"event_triggers": [{"event": "CREATED"}, {"event": "CREATED"}]}), "event_triggers[1].event: has a trigger already: one for each type")]
#[case(json!({"event_triggers": [{"event": "UPDATED", "severity": "error"}]}), "event_triggers[0].severity: has no meaning for this type, which goes to the event's participants by e-mail")]
#[case(json!({"event_triggers": [{"event": "order.created", "cooldown_seconds": 1}]}), "event_triggers[0].cooldown_seconds: has no meaning for this type, which goes to the order's customer by e-mail")]
#[case(json!({"event_triggers": [{"event": "CANCELLED", "providers": ["email"]}]}), "event_triggers[0].providers: has no meaning for this type")]
#[case(json!({"event_triggers": [{"event": "system_error", "severity": "fatal"}]}), "event_triggers[0].severity: takes one of info, warning, error and critical, not `fatal`")]
#[case(json!({"event_triggers": [{"event": "system_error", "providers": []}]}), "event_triggers[0].providers: takes a list of email, slack or both, not an empty one")]
#[case(json!({"event_triggers": [{"event": "system_error", "providers": ["email", "sms"]}]}), "event_triggers[0].providers[1]: takes email, slack or both, not `sms`")]
#[case(json!({"event_triggers": [{"event": "system_error", "cooldown_seconds": 2_592_001}]}), "event_triggers[0].cooldown_seconds: takes a number of seconds from 0 to 2592000 (30 days), not 2592001")]
#[case(json!({"event_triggers": [{"event": "system_error", "cooldown": 1}]}), "event_triggers[0].cooldown: unknown key; did you mean cooldown_seconds?")]
fn refused(#[case] mut file: Value, #[case] problem: &str) {
    let object = file.as_object_mut().unwrap();
    if !problem.starts_with("enabled") {
        object.insert("enabled".into(), json!(true));
    }
    let problems = problems_of(&file.to_string());
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with(problem), "{problems:?}");
    assert!(!problems[0].contains("s3cr3t"), "{problems:?}");
    assert!(!problems[0].contains(char::is_control), "{problems:?}");
}

#[test]
fn all_problems_at_once_and_no_secret_among_them() {
    let file = json!({
        "enabled": "yes", "webhok": 1,
        "email": {"smtp_host": "${ACME_BAD}", "smtp_port": 0, "smtp_username": "s3cr3t", "smtp_password": ["s3cr3t"],
                  "to_emails": ["${ACME_BAD}", "x", "a@example.com"]},
        "slack": {"webhook_url": "https://evil.test/s3cr3t", "channel": "${ACME_BAD}<"},
        "event_triggers": [{"event": "CREATED", "severity": "${ACME_BAD}"}]
    });
    let problems = problems_of(&file.to_string());
    let paths: Vec<_> = problems.iter().map(|p| p.split(": ").next().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "enabled",
            "email.smtp_host",
            "email.smtp_port",
            "email.smtp_password",
            "email.to_emails[0]",
            "email.to_emails[1]",
            "slack.webhook_url",
            "slack.channel",
            "event_triggers[0].severity",
            "event_triggers[0].severity",
            "webhok"
        ]
    );
    assert!(!problems.join("").contains("s3cr3t"), "{problems:?}");
}

#[test]
fn problems_are_bounded() {
    let keys: Vec<String> = (0..5_000).map(|i| format!("\"k{i}\": 1")).collect();
    let problems = problems_of(&format!("{{\"enabled\": true, {}}}", keys.join(",")));
    assert_eq!(problems.len(), 101);
    assert_eq!(problems[100], "4900 further problems");
}

#[test]
fn the_roots_file_may_name_whom_it_likes() {
    let file = br#"{"enabled": true, "tenant_id": "whoever"}"#;
    let shown: Value = serde_json::from_str(&read_as(None, file).ok().unwrap().shown).unwrap();
    assert_eq!(shown["tenant_id"], "whoever");
    assert!(read_as(None, br#"{"enabled": true, "tenant_id": "Whoever"}"#).is_err());
}

#[test]
fn shown_with_defaults_masks_and_placeholders() {
    let file = json!({
        "enabled": true, "tenant_id": "acme",
        "email": {"smtp_host": "h", "smtp_username": "u", "smtp_password": "${ACME_SMTP_PASSWORD}",
                  "from_email": "${ACME_FROM}", "to_emails": ["${ACME_FROM}", "a@EXAMPLE.com"], "cc_emails": ["c@EXAMPLE.com"]},
        "slack": {"webhook_url": "https://hooks.slack.com/services/${ACME_WEBHOOK}"},
        "event_triggers": [{"event": "system_error", "providers": ["email", "slack"], "cooldown_seconds": 0.5}]
    });
    let read = read_as(Some("acme"), file.to_string().as_bytes()).ok().unwrap();
    let shown: Value = serde_json::from_str(&read.shown).unwrap();
    assert_eq!(
        shown,
        json!({
            "enabled": true, "tenant_id": "acme", "muted": false, "weight": 1, "default_provider": null,
            "max_retries": null, "retry_delay_seconds": null, "timeout_seconds": null,
            "email": {"enabled": true, "smtp_host": "h", "smtp_port": 587, "smtp_username": "u",
                      "smtp_password": "***", "smtp_use_tls": true, "from_email": "${ACME_FROM}", "from_name": null,
                      "to_emails": ["${ACME_FROM}", "a@EXAMPLE.com"], "cc_emails": ["c@example.com"]},
            "slack": {"enabled": true, "webhook_url": "https://hooks.slack.com/***", "channel": null,
                      "mention_users": [], "mention_channel": false},
            "event_triggers": [{"event": "system_error", "enabled": true, "severity": null, "providers": ["both"],
                                "cooldown_seconds": 0.5}]
        })
    );
    assert!(!read.shown.contains("s3cr3t"));
}

#[rstest]
#[case("config.example.json", None, include_str!("../../../configs/notifications/config.example.json"))]
#[case("tenant-config.example.json", Some("acme_corp"), include_str!("../../../configs/notifications/tenant-config.example.json"))]
fn the_examples_are_valid(#[case] name: &str, #[case] tenant: Option<&str>, #[case] text: &str) {
    let tenant: Option<TenantId> = tenant.map(|id| id.parse().unwrap());
    let read_with = |environment: &Environment| {
        let context = Context {
            tenant: tenant.as_ref(),
            environment,
            insecure_hosts: &[],
        };
        read(text.as_bytes(), context)
    };
    let variables = Environment::new(|name| match name {
        "NOTIFICATIONS_SMTP_PASSWORD" | "ACME_SMTP_PASSWORD" => Some("p".into()),
        "NOTIFICATIONS_WEBHOOK_URL" | "ACME_WEBHOOK_URL" => {
            Some("https://hooks.slack.com/services/T0/B0/x".into())
        }
        _ => None,
    });
    let good = read_with(&variables).map_err(|problems| format!("{name}: {problems:?}"));
    let config = good.map(|read| read.config).unwrap();
    assert!(config.enabled && config.email.is_some() && config.slack.is_some());
    // Copied as it is, it says which variables it wants.
    let problems = read_with(&Environment::default()).err().unwrap();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems.iter().all(|p| p.reason.ends_with("is not set")));
}

#[test]
fn the_relays_of_the_readme_are_valid() {
    let text = include_str!("../../../configs/notifications/README.md");
    let blocks: Vec<_> = text.split("```json\n").skip(1).collect();
    assert_eq!(blocks.len(), 5);
    for block in blocks {
        let section = block.split("```").next().unwrap();
        let file = format!("{{\"enabled\": true, {section}}}");
        let context = Context {
            tenant: None,
            environment: &Environment::new(|_| Some("value".into())),
            insecure_hosts: &[],
        };
        let relay = match read(file.as_bytes(), context) {
            Ok(read) => read.config.email.unwrap().relay.unwrap(),
            Err(problems) => panic!("{section}: {problems:?}"),
        };
        assert!(relay.credentials.is_some() || relay.host == "127.0.0.1");
    }
}

fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?[0-9]{1,20}(\\.[0-9]{1,3})?",
        "\"[a-z@.${}A-Z<#]{0,12}\"",
    ];
    let key = prop_oneof![
        "(enabled|email|slack|event_triggers|event|smtp_host|smtp_port|to_emails|webhook_url|providers|weight)",
        "[a-z_]{0,8}"
    ];
    leaf.prop_recursive(4, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn never_panics(text in json_text(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_as(Some("acme"), &bytes);
        for tenant in [None, Some("acme")] {
            let read = read_as(tenant, text.as_bytes());
            if let Err(problems) = read {
                prop_assert!(!problems.is_empty());
                prop_assert!(problems.iter().all(|p| !p.contains(char::is_control)));
            }
        }
    }
}
