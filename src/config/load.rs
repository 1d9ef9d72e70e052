//! Where the variables come from: the process environment, then `.env`. Neither is changed.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;

use super::reader::{ConfigErrors, Problem, Reader};
use super::{Config, Environment, SourceKind, StorageKind, aws, email, endpoints, notifications, service};

/// Every variable that is read, in the order of `.env.example`.
pub const VARIABLES: &[&str] = &[
    "LAVINMQ_HOST",
    "LAVINMQ_PORT",
    "LAVINMQ_USERNAME",
    "LAVINMQ_PASSWORD",
    "LAVINMQ_VHOST",
    "LAVINMQ_URL",
    "LAVINMQ_QUEUE",
    "LAVINMQ_PREFETCH",
    "SOURCE",
    "SQS_QUEUE_NAME",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "DATABASE_URL",
    "DATABASE_ECHO",
    "EMAIL_DUMMY_MODE",
    "EMAIL_DUMMY_DIR",
    "SMTP_HOST",
    "SMTP_PORT",
    "SMTP_USERNAME",
    "SMTP_PASSWORD",
    "SMTP_USE_TLS",
    "SMTP_TLS_CA",
    "SMTP_CONNECTIONS",
    "SMTP_TIMEOUT",
    "SMTP_DATA_TIMEOUT",
    "SMTP_RATE_LIMIT",
    "FROM_EMAIL",
    "SMTP_FROM",
    "FROM_NAME",
    "UNSUBSCRIBE_URL",
    "TEMPLATES_DIR",
    "BATCH_SIZE",
    "IN_FLIGHT",
    "ON_UNKNOWN",
    "MAX_RETRIES",
    "RETRY_DELAY",
    "RETRY_SCHEDULE",
    "PARK_AFTER",
    "RETENTION",
    "LEASE",
    "SHUTDOWN_GRACE",
    "NOTIFICATIONS_ENABLED",
    "NOTIFICATIONS_CONFIG_PATH",
    "EMAIL_NOTIFICATIONS_ENABLED",
    "EMAIL_SMTP_HOST",
    "EMAIL_SMTP_PORT",
    "EMAIL_SMTP_USERNAME",
    "EMAIL_SMTP_PASSWORD",
    "EMAIL_FROM_ADDRESS",
    "EMAIL_TO_ADDRESSES",
    "SLACK_NOTIFICATIONS_ENABLED",
    "SLACK_WEBHOOK_URL",
    "SLACK_CHANNEL",
    "SLACK_ALLOW_INSECURE_HOSTS",
    "ATTACHMENT_HOSTS",
    "OC_STORAGE_TYPE",
    "OC_STORAGE_FILE_PATH",
    "OC_S3_BUCKET",
    "OC_S3_PREFIX",
    "OC_STORAGE_USE_UNZIP",
    "OC_STORAGE_USE_BUNDLER",
    "OC_SQS_QUEUE_URL",
    "COMPLETIONS_EXCHANGE",
    "HTTP_ADDR",
    "HTTP_ALLOWED_ORIGINS",
    "API_TOKEN",
    "LOG_LEVEL",
    "LOG_FORMAT",
    "LOG_FILE",
];

impl Config {
    /// Reads every variable through `lookup`; one that is unset or empty gets its default. Nothing stays for
    /// `${NAME}` in tenants' files: see [`Config::from_environment`].
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        Self::read(lookup, Environment::default(), Vec::new())
    }

    /// Reads every variable from `environment`, which also serves tenants' files later.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigErrors> {
        Self::from_parts(environment, Vec::new())
    }

    /// Reads the process environment, and `.env` in the working directory for what is not set there.
    /// Neither is changed.
    ///
    /// # Errors
    /// All that is wrong, a line of `.env` that cannot be read among it, at once.
    pub fn load() -> Result<Self, ConfigErrors> {
        Self::from_sources(Path::new(".env"), |name| std::env::var_os(name))
    }

    /// What `process` has, even if it is empty, goes before the file's.
    fn from_sources(
        path: &Path,
        process: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
    ) -> Result<Self, ConfigErrors> {
        let (file, mut problems) = read_env_file(path);
        for name in VARIABLES {
            if process(name).is_some_and(|v| v.to_str().is_none()) {
                problems.push(problem((*name).to_owned(), "takes UTF-8 text"));
            }
        }
        let environment = Environment::new(move |name| match process(name) {
            Some(value) => value.into_string().ok(),
            None => file.get(name).cloned(),
        });
        Self::from_parts(&environment, problems)
    }

    fn from_parts(environment: &Environment, problems: Vec<Problem>) -> Result<Self, ConfigErrors> {
        Self::read(&|name| environment.get(name), environment.clone(), problems)
    }

    fn read(
        lookup: &dyn Fn(&str) -> Option<String>,
        environment: Environment,
        mut problems: Vec<Problem>,
    ) -> Result<Self, ConfigErrors> {
        let mut r = Reader::new(lookup);
        let broker = endpoints::broker(&mut r);
        let source = aws::source(&mut r);
        let storage = aws::storage(&mut r, &environment);
        let completions = aws::completions(&mut r, &storage);
        let used = matches!(source, SourceKind::Sqs { .. })
            || matches!(storage.kind, StorageKind::S3 { .. })
            || completions.sqs_queue_url.is_some();
        let config = Self {
            broker,
            source,
            aws: aws::aws(&mut r, used),
            database: endpoints::database(&mut r),
            email: email::email(&mut r),
            delivery: service::delivery(&mut r),
            templates_dir: r.text("TEMPLATES_DIR").map(Into::into),
            notifications: notifications::notifications(&mut r),
            storage,
            completions,
            attachment_hosts: aws::attachment_hosts(&mut r),
            http: service::http(&mut r),
            shutdown_grace: service::shutdown_grace(&mut r),
            log: service::log(&mut r),
            environment,
        };
        problems.extend(r.into_problems());
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigErrors::new(problems))
        }
    }
}

fn problem(variable: String, message: &str) -> Problem {
    Problem {
        variable,
        message: message.to_owned(),
    }
}

/// The variables of a `.env` file, none where there is no file. A line's text may hold a secret: it is
/// named by its number alone.
fn read_env_file(path: &Path) -> (HashMap<String, String>, Vec<Problem>) {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Default::default(),
        Err(e) => {
            let message = format!("cannot be read ({e})");
            return (
                HashMap::new(),
                vec![problem(path.display().to_string(), &message)],
            );
        }
    };
    let mut problems = Vec::new();
    let mut variables = HashMap::new();
    for item in dotenvy::from_read_iter(text.as_bytes()) {
        match item {
            Ok((name, value)) => {
                variables.insert(name, value);
            }
            Err(dotenvy::Error::LineParse(line, _)) => {
                let first = line.lines().next().unwrap_or_default();
                let number = text.lines().position(|l| l.trim_end().ends_with(first.trim()));
                let at = number.map_or_else(String::new, |n| format!(", line {}", n + 1));
                problems.push(problem(
                    format!("{}{at}", path.display()),
                    "takes NAME=value, the value in quotes where it has spaces, quotes, $ or #",
                ));
            }
            Err(_) => {
                problems.push(problem(
                    path.display().to_string(),
                    "cannot be read as NAME=value lines",
                ));
                break;
            }
        }
    }
    (variables, problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn env_file_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        assert_eq!(read_env_file(&path), Default::default());

        std::fs::write(&path, "# comment\nA=1\nB=\"two words\"\nC=s3cr3t word\nD=\n").unwrap();
        let (variables, problems) = read_env_file(&path);
        assert_eq!(variables["A"], "1");
        assert_eq!(variables["B"], "two words");
        assert_eq!(variables["D"], "");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].variable.ends_with(".env, line 4"), "{problems:?}");
        assert!(!problems[0].to_string().contains("s3cr3t"));

        std::fs::write(&path, b"A=\xff\n").unwrap();
        assert_eq!(read_env_file(&path).1.len(), 1);
    }

    #[test]
    fn the_process_environment_wins_and_all_problems_come_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        std::fs::write(&path, "BATCH_SIZE=7\nHTTP_ADDR=127.0.0.1:1\nFROM_NAME=Ann\n").unwrap();
        let set = |name: &str| match name {
            "BATCH_SIZE" => Some("8".into()),
            "HTTP_ADDR" => Some(OsString::new()),
            _ => None,
        };
        let config = Config::from_sources(&path, set).unwrap();
        assert_eq!(config.delivery.batch_size, 8);
        assert_eq!(config.http.addr, None);
        assert_eq!(config.email.identity.name.as_str(), "Ann");
        let later = |name| config.environment.get(name);
        assert_eq!(later("BATCH_SIZE"), Some("8".into()));
        assert_eq!(later("FROM_NAME"), Some("Ann".into()));
        assert_eq!(later("OTHER"), None);

        std::fs::write(&path, "BATCH_SIZE=7\nnonsense\n").unwrap();
        let set = |name: &str| match name {
            "LEASE" => Some("never".into()),
            "FROM_NAME" => Some(OsString::from_vec(vec![0xff])),
            _ => None,
        };
        let errors = Config::from_sources(&path, set).unwrap_err();
        let names: Vec<_> = errors.problems().iter().map(|p| p.variable.as_str()).collect();
        assert!(names[0].ends_with(".env, line 2"), "{names:?}");
        assert_eq!(names[1..], ["FROM_NAME", "LEASE"]);
    }

    /// The example's variables with their values, also those of its commented lines.
    fn example(commented: bool) -> Vec<(String, String)> {
        let text = include_str!("../../.env.example");
        let mut lines = String::new();
        for line in text.lines() {
            let variable = line
                .strip_prefix('#')
                .filter(|l| commented && l.starts_with(|c: char| c.is_ascii_uppercase()));
            lines.push_str(variable.unwrap_or(line));
            lines.push('\n');
        }
        dotenvy::from_read_iter(lines.as_bytes())
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn the_example_names_every_variable_and_its_default() {
        let names: Vec<_> = example(true).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, VARIABLES);

        let defaults = format!("{:?}", Config::from_lookup(&|_| None).unwrap());
        for commented in [false, true] {
            let variables: HashMap<_, _> = example(commented).into_iter().collect();
            let config = Config::from_lookup(&|name| variables.get(name).cloned()).unwrap();
            assert_eq!(format!("{config:?}"), defaults);
        }
    }
}
