use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::config::{Config, Environment, NotificationsConfig};

const GOOD: &str = r#"{"enabled": true, "weight": 2}"#;
const OTHER: &str = r#"{"enabled": true, "weight": 3}"#;
const OFF: &str = r#"{"enabled": false}"#;
const BAD: &str = r#"{"enabled": true, "email": {"smtp_host": "h", "smtp_port": 70000}}"#;
const BAD_PROBLEM: &str = "email.smtp_port: takes an integer from 1 to 65535, not 70000";
const HALF: &str = r#"{"enabled": true, "weigh"#;

/// A folder with the root's folder `notifications` and the tenants' beside it.
struct Site {
    dir: tempfile::TempDir,
    variables: Vec<(&'static str, &'static str)>,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("notifications")).unwrap();
        Self {
            dir,
            variables: Vec::new(),
        }
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let site = Self::new();
        for (file, text) in files {
            site.write(file, text);
        }
        site
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        fs::create_dir_all(self.path(file).parent().unwrap()).unwrap();
        fs::write(self.path(file), text).unwrap();
    }

    fn config(&self) -> (NotificationsConfig, Environment) {
        let root = self.path("notifications");
        let mut map: HashMap<_, _> = self
            .variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        map.insert("NOTIFICATIONS_CONFIG_PATH".into(), root.to_str().unwrap().into());
        let config = Config::from_environment(&map.into()).unwrap();
        (config.notifications, config.environment)
    }

    fn tenants(&self, now: SystemTime) -> Tenants {
        let (config, environment) = self.config();
        Tenants::load(&config, &environment, now)
    }
}

/// When everything that was written just now has settled.
fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(10)
}

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

/// A resolution in one word, with the weight where there is a configuration.
fn word(resolution: &Resolution) -> String {
    match resolution {
        Resolution::Tenant(id, config) => format!("tenant {id} {}", config.weight),
        Resolution::Root {
            config,
            from_file: true,
        } => format!("root {}", config.weight),
        Resolution::Root { from_file: false, .. } => "variables".into(),
        Resolution::Disabled(why) => format!("disabled: {why}"),
        Resolution::Nothing => "nothing".into(),
        Resolution::Invalid(problem) => format!("invalid: {problem}"),
        Resolution::Changing => "changing".into(),
    }
}

fn resolved(tenants: &Tenants) -> String {
    word(&tenants.resolve(Some(&acme()), later()))
}

#[rstest]
#[case(Some(GOOD), Some(OTHER), "tenant acme 2", "tenant")]
#[case(Some(GOOD), Some(OFF), "tenant acme 2", "tenant")]
#[case(Some(GOOD), Some(BAD), "tenant acme 2", "tenant")]
#[case(Some(GOOD), None, "tenant acme 2", "tenant")]
#[case(
    Some(r#"{"enabled": true, "muted": true}"#),
    Some(OTHER),
    "tenant acme 1",
    "tenant"
)]
#[case(Some(OFF), Some(OTHER), "root 3", "root")]
#[case(
    Some(OFF),
    Some(OFF),
    "disabled: notifications are disabled for this tenant and for the root",
    "disabled"
)]
#[case(
    Some(OFF),
    None,
    "disabled: notifications are disabled for this tenant and for the root",
    "disabled"
)]
#[case(Some(OFF), Some(BAD), "invalid: notifications/config.json", "disabled")]
#[case(Some(BAD), Some(OTHER), "invalid: acme/notifications.json", "disabled")]
#[case(Some(BAD), None, "invalid: acme/notifications.json", "disabled")]
#[case(Some(""), Some(OTHER), "invalid: acme/notifications.json", "disabled")]
#[case(None, Some(OTHER), "root 3", "root")]
#[case(
    None,
    Some(OFF),
    "disabled: notifications are disabled for the root",
    "disabled"
)]
#[case(None, Some(BAD), "invalid: notifications/config.json", "disabled")]
#[case(None, None, "nothing", "disabled")]
fn resolution(
    #[case] tenant: Option<&str>,
    #[case] root: Option<&str>,
    #[case] expected: &str,
    #[case] state: &str,
) {
    let site = Site::new();
    for (file, text) in [
        ("acme/notifications.json", tenant),
        ("notifications/config.json", root),
    ] {
        if let Some(text) = text {
            site.write(file, text);
        }
    }
    let tenants = site.tenants(later());
    let found = resolved(&tenants).replace(&format!("{}/", site.dir.path().display()), "");
    assert!(found.starts_with(expected), "{found}");
    let effective = tenants.effective(&acme());
    assert_eq!(effective.state.as_str(), state);
    let invalid = expected.starts_with("invalid");
    assert_eq!(effective.error.is_some(), invalid, "{effective:?}");
    assert_eq!(effective.file.is_some(), expected != "nothing");
    assert_eq!(
        effective.config.is_some(),
        !(invalid || expected == "nothing") || tenant == Some(OFF)
    );
    // Read at once or when it is first asked for: the same.
    let (config, environment) = site.config();
    let lazy = Tenants::new(&config, &environment);
    assert_eq!(
        resolved(&lazy).replace(&format!("{}/", site.dir.path().display()), ""),
        found
    );
}

#[test]
fn messages_without_tenant_are_the_roots() {
    let site = Site::with(&[
        ("notifications/config.json", OTHER),
        ("acme/notifications.json", GOOD),
    ]);
    let tenants = site.tenants(later());
    assert_eq!(word(&tenants.resolve(None, later())), "root 3");
    let weight = |id: Option<&str>| tenants.weight(id.map(|id| id.parse().unwrap()).as_ref());
    let weights = [weight(None), weight(Some("acme")), weight(Some("other"))];
    assert_eq!(weights.map(|w| w.to_string()), ["3", "2", "3"]);
    assert_eq!(Site::new().tenants(later()).weight(None).to_string(), "1");
    let disabled = Site::with(&[("notifications/config.json", r#"{"enabled": false, "weight": 5}"#)]);
    assert_eq!(disabled.tenants(later()).weight(None).to_string(), "1");
}

#[test]
fn variables_stand_in_only_where_there_is_no_file() {
    let mut site = Site::new();
    site.variables = vec![
        ("EMAIL_NOTIFICATIONS_ENABLED", "true"),
        ("EMAIL_TO_ADDRESSES", "a@example.com"),
        ("SLACK_NOTIFICATIONS_ENABLED", "true"),
        ("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/s3cr3t"),
    ];
    let tenants = site.tenants(later());
    assert_eq!(resolved(&tenants), "variables");
    assert!(tenants.sender(&Sender::Root).is_ok());
    let effective = tenants.effective(&acme());
    assert_eq!((effective.state, effective.file), (EffectiveState::Root, None));
    let config = effective.config.unwrap();
    assert_eq!(config["email"]["to_emails"], json!(["a@example.com"]));
    assert_eq!(config["slack"]["webhook_url"], "https://hooks.slack.com/***");

    site.write("notifications/config.json", OFF);
    assert!(resolved(&tenants).starts_with("disabled"));
    site.write("notifications/config.json", BAD);
    assert!(
        resolved(&site.tenants(later())).starts_with("invalid"),
        "variables do not stand in for a file"
    );
    fs::remove_file(site.path("notifications/config.json")).unwrap();
    assert_eq!(resolved(&tenants), "variables");
}

#[test]
fn a_change_takes_effect_with_the_next_message_and_is_told_once() {
    let site = Site::with(&[("acme/notifications.json", GOOD)]);
    let tenants = site.tenants(later());
    assert_eq!(resolved(&tenants), "tenant acme 2");
    // Same length, so that only the times tell.
    site.write("acme/notifications.json", OTHER);
    assert_eq!(resolved(&tenants), "tenant acme 3");
    assert_eq!(tenants.refresh(later()), []);

    site.write("acme/notifications.json", BAD);
    assert_eq!(resolved(&tenants), "tenant acme 3", "the last good one");
    let turns = tenants.refresh(later());
    assert_eq!(turns.len(), 1);
    assert_eq!(turns[0].tenant, Some(acme()));
    assert!(turns[0].file.ends_with("/acme/notifications.json"));
    let problem = turns[0].problem.as_ref().unwrap();
    assert_eq!(problem.to_string(), format!("{}: {BAD_PROBLEM}", turns[0].file));
    assert_eq!(tenants.refresh(later()), []);
    let effective = tenants.effective(&acme());
    assert_eq!(effective.state, EffectiveState::Tenant);
    assert_eq!(effective.error.unwrap(), problem.to_string());
    assert_eq!(effective.config.unwrap()["weight"], 3);

    // Invalid in another way is told again; valid as well.
    site.write("acme/notifications.json", HALF);
    assert_eq!(tenants.refresh(later()).len(), 1);
    site.write("acme/notifications.json", OTHER);
    let turns = tenants.refresh(later());
    assert!(turns.len() == 1 && turns[0].problem.is_none(), "{turns:?}");
    assert!(tenants.effective(&acme()).error.is_none());

    // Gone is gone, and not invalid any more.
    site.write("acme/notifications.json", HALF);
    assert_eq!(tenants.refresh(later()).len(), 1);
    fs::remove_dir_all(site.path("acme")).unwrap();
    assert_eq!(resolved(&tenants), "nothing");
    assert!(tenants.refresh(later())[0].problem.is_none());
    assert!(tenants.sender(&Sender::Tenant(acme())).is_err());
}

#[test]
fn a_new_folder_is_found_by_the_next_look_and_by_the_next_message() {
    let site = Site::new();
    let tenants = site.tenants(later());
    site.write("acme/notifications.json", GOOD);
    assert_eq!(resolved(&tenants), "tenant acme 2");
    site.write("beta/notifications.json", BAD);
    assert_eq!(tenants.refresh(later())[0].tenant, "beta".parse().ok());
}

#[test]
fn half_a_file_is_never_adopted_and_not_yet_refused() {
    let site = Site::with(&[
        ("acme/notifications.json", HALF),
        ("notifications/config.json", OTHER),
    ]);
    let now = SystemTime::now();
    let tenants = site.tenants(now);
    assert_eq!(word(&tenants.resolve(Some(&acme()), now)), "changing");
    assert_eq!(tenants.refresh(now), [], "not told yet");
    let effective = tenants.effective(&acme());
    assert_eq!(effective.state, EffectiveState::Disabled);
    assert!(effective.error.unwrap().contains("EOF"));

    // It is left so: now it is invalid.
    assert!(resolved(&tenants).starts_with("invalid"));
    assert_eq!(tenants.refresh(later()).len(), 1);

    // The rest is written: good at once, however fresh.
    site.write("acme/notifications.json", GOOD);
    let now = SystemTime::now();
    assert_eq!(word(&tenants.resolve(Some(&acme()), now)), "tenant acme 2");
    site.write("acme/notifications.json", HALF);
    assert_eq!(word(&tenants.resolve(Some(&acme()), now)), "tenant acme 2");
    assert!(
        tenants.refresh(now)[0].problem.is_none(),
        "half a file is not told"
    );
}

#[test]
fn a_time_in_the_future_does_not_keep_a_file_changing() {
    let site = Site::with(&[("acme/notifications.json", HALF)]);
    let file = fs::File::options()
        .append(true)
        .open(site.path("acme/notifications.json"))
        .unwrap();
    file.set_modified(SystemTime::now() + Duration::from_hours(1))
        .unwrap();
    let tenants = site.tenants(SystemTime::now());
    assert!(word(&tenants.resolve(Some(&acme()), SystemTime::now())).starts_with("invalid"));
}

#[rstest]
#[case(|site: &Site| site.write("acme/notifications.json", ""), "the file is empty")]
#[case(|site: &Site| site.write("acme/notifications.json", HALF), "EOF while parsing a string at line 1 column 24")]
#[case(|site: &Site| site.write("acme/notifications.json", &" ".repeat(10_485_760)), "the file has 10485760 bytes, 262144 at most are taken")]
#[case(|site: &Site| site.write("acme/notifications.json", r#"{"enabled": true, "tenant_id": "beta"}"#), "tenant_id: takes the name of its folder, acme, not `beta`")]
#[case(|site: &Site| fs::create_dir_all(site.path("acme/notifications.json")).unwrap(), "it is a folder, not a file")]
#[case(named_pipe, "it is a named pipe, not a file")]
#[case(|site: &Site| link(site, "../notifications/config.json"), "the file is a link out of its folder")]
#[case(|site: &Site| link(site, "../beta/notifications.json"), "the file is a link out of its folder")]
#[case(|site: &Site| link(site, "/etc/passwd"), "the file is a link out of its folder")]
#[case(|site: &Site| link(site, "nowhere"), "the file is a link that leads nowhere")]
#[case(|site: &Site| link(site, "notifications.json"), "the file cannot be read")]
#[case(|site: &Site| symlink("beta", site.path("acme")).unwrap(), "the file is a link out of its folder")]
#[case(|site: &Site| site.write("acme/notifications.json", BAD), BAD_PROBLEM)]
fn odd_files_are_refused_with_their_reason_and_nothing_else_suffers(
    #[case] make: fn(&Site),
    #[case] reason: &str,
) {
    let site = Site::with(&[
        ("beta/notifications.json", GOOD),
        ("notifications/config.json", OTHER),
    ]);
    make(&site);
    let tenants = site.tenants(later());
    let problem = match tenants.resolve(Some(&acme()), later()) {
        Resolution::Invalid(problem) => problem.to_string(),
        other => panic!("{other:?}"),
    };
    let file = site.path("acme/notifications.json");
    assert!(
        problem.starts_with(&format!("{}: {reason}", file.display())),
        "{problem}"
    );
    let beta = "beta".parse().unwrap();
    assert_eq!(word(&tenants.resolve(Some(&beta), later())), "tenant beta 2");
    assert_eq!(word(&tenants.resolve(None, later())), "root 3");
    let effective = tenants.effective(&acme());
    assert_eq!(effective.state, EffectiveState::Disabled);
    assert_eq!(effective.error, Some(problem));
    assert!(effective.config.is_none());
}

fn named_pipe(site: &Site) {
    fs::create_dir(site.path("acme")).unwrap();
    let made = Command::new("mkfifo")
        .arg(site.path("acme/notifications.json"))
        .status();
    assert!(made.unwrap().success());
}

fn link(site: &Site, target: &str) {
    fs::create_dir(site.path("acme")).unwrap();
    symlink(target, site.path("acme/notifications.json")).unwrap();
}

#[test]
fn what_may_not_be_read_is_invalid_not_absent() {
    let site = Site::with(&[
        ("acme/notifications.json", GOOD),
        ("notifications/config.json", OTHER),
    ]);
    let closed = |mode| fs::set_permissions(site.path("acme"), fs::Permissions::from_mode(mode)).unwrap();
    closed(0o000);
    if fs::read_dir(site.path("acme")).is_err() {
        assert!(resolved(&site.tenants(later())).contains("permission denied"));
    }
    closed(0o755);
}

#[test]
fn a_volume_that_is_switched_by_a_link() {
    let site = Site::with(&[
        ("acme/..1/notifications.json", GOOD),
        ("acme/..2/notifications.json", OTHER),
        ("notifications/..1/config.json", GOOD),
    ]);
    symlink("..1", site.path("acme/..data")).unwrap();
    symlink("..data/notifications.json", site.path("acme/notifications.json")).unwrap();
    symlink("..1", site.path("notifications/..data")).unwrap();
    symlink("..data/config.json", site.path("notifications/config.json")).unwrap();
    let tenants = site.tenants(later());
    assert_eq!(resolved(&tenants), "tenant acme 2");
    assert_eq!(word(&tenants.resolve(None, later())), "root 2");
    symlink("..2", site.path("acme/..new")).unwrap();
    fs::rename(site.path("acme/..new"), site.path("acme/..data")).unwrap();
    assert_eq!(resolved(&tenants), "tenant acme 3");
    assert_eq!(tenants.refresh(later()), []);
}

#[test]
fn the_roots_folder_may_be_a_link_but_its_file_may_not_lead_out() {
    let site = Site::with(&[("elsewhere/config.json", GOOD), ("secret.json", OTHER)]);
    fs::remove_dir(site.path("notifications")).unwrap();
    symlink("elsewhere", site.path("notifications")).unwrap();
    let tenants = site.tenants(later());
    assert_eq!(word(&tenants.resolve(None, later())), "root 2");
    fs::remove_file(site.path("elsewhere/config.json")).unwrap();
    symlink("../secret.json", site.path("elsewhere/config.json")).unwrap();
    let fresh = site.tenants(later());
    assert!(word(&fresh.resolve(None, later())).ends_with("the file is a link out of its folder"));
    assert_eq!(
        word(&tenants.resolve(None, later())),
        "root 2",
        "the last good one"
    );
}

#[test]
fn names_that_are_no_tenants_are_passed_over() {
    let site = Site::with(&[
        ("Acme/notifications.json", BAD),
        ("a b/notifications.json", BAD),
        ("_x/notifications.json", BAD),
        ("notifications/notifications.json", BAD),
        ("file", BAD),
        ("empty/readme.txt", BAD),
    ]);
    site.write(&format!("{}/notifications.json", "a".repeat(64)), BAD);
    let tenants = site.tenants(later());
    assert_eq!(tenants.refresh(later()), []);
    assert!(tenants.0.lock().slots.is_empty());
    for id in ["empty", "file", "nobody"] {
        let id = id.parse().unwrap();
        assert_eq!(word(&tenants.resolve(Some(&id), later())), "nothing");
    }
    assert!(
        tenants.0.lock().slots.is_empty(),
        "ids without a file take no memory"
    );
}

#[test]
fn nothing_there_at_all() {
    let site = Site::new();
    fs::remove_dir(site.path("notifications")).unwrap();
    let tenants = site.tenants(later());
    assert_eq!(resolved(&tenants), "nothing");
    site.write("notifications", "a file in the folder's place");
    assert!(
        resolved(&tenants).starts_with("invalid"),
        "{}",
        resolved(&tenants)
    );
}

#[test]
fn senders_of_dispatches_accepted_earlier() {
    let site = Site::with(&[
        (
            "acme/notifications.json",
            r#"{"enabled": true, "muted": true, "weight": 2}"#,
        ),
        ("notifications/config.json", OTHER),
    ]);
    let tenants = site.tenants(later());
    let weight = |sender: &Sender| tenants.sender(sender).map(|c| c.weight.to_string());
    let tenant = Sender::Tenant(acme());
    assert_eq!(weight(&tenant).as_deref(), Ok("2"));
    assert_eq!(weight(&Sender::Root).as_deref(), Ok("3"));
    site.write("acme/notifications.json", BAD);
    site.write("notifications/config.json", OFF);
    tenants.refresh(later());
    assert_eq!(weight(&tenant).as_deref(), Ok("2"), "the last good one");
    assert_eq!(weight(&Sender::Root).as_deref(), Ok("1"), "enabled or not");

    let fresh = site.tenants(later());
    let error = fresh.sender(&tenant).unwrap_err().to_string();
    assert!(error.ends_with(BAD_PROBLEM), "{error}");
    let error = fresh
        .sender(&Sender::Tenant("beta".parse().unwrap()))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("/beta/notifications.json: there is no such file")
    );
    assert!(fresh.sender(&Sender::Environment).is_err());
}

#[test]
fn secrets_stay_inside() {
    let mut site = Site::with(&[(
        "acme/notifications.json",
        r#"{"enabled": true,
            "email": {"smtp_host": "h", "smtp_username": "u", "smtp_password": "${PASSWORD}", "from_email": "${FROM}"},
            "slack": {"webhook_url": "https://hooks.slack.com/services/s3cr3t"}}"#,
    )]);
    site.variables = vec![("PASSWORD", "s3cr3t"), ("FROM", "s3cr3t@example.com")];
    let tenants = site.tenants(later());
    let config = match tenants.resolve(Some(&acme()), later()) {
        Resolution::Tenant(_, config) => config,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        config.email.as_ref().unwrap().from.as_ref().unwrap().as_str(),
        "s3cr3t@example.com"
    );
    let effective = tenants.effective(&acme());
    let json = serde_json::to_value(&effective).unwrap();
    let keys: Vec<_> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["tenant_id", "state", "file", "error", "config"]);
    assert_eq!(json["state"], "tenant");
    assert_eq!(json["config"]["email"]["smtp_password"], "***");
    assert_eq!(json["config"]["email"]["from_email"], "${FROM}");
    assert!(!format!("{json}{effective:?}").contains("s3cr3t"));
}

#[test]
fn many_ask_while_the_file_changes() {
    let site = Site::with(&[("acme/notifications.json", GOOD)]);
    let tenants = site.tenants(later());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let found = resolved(&tenants);
                    assert!(found.starts_with("tenant acme "), "{found}");
                }
            });
        }
        for i in 0..100 {
            let text = [GOOD, OTHER, HALF, BAD][i % 4];
            // Renamed into place, or written over.
            if i % 3 == 0 {
                site.write("acme/new", text);
                fs::rename(site.path("acme/new"), site.path("acme/notifications.json")).unwrap();
            } else {
                site.write("acme/notifications.json", text);
            }
        }
        site.write("acme/notifications.json", OTHER);
    });
    assert_eq!(resolved(&tenants), "tenant acme 3");
}
