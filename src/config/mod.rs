//! Typed configuration. [`Config::from_lookup`] reads every variable through a function, so that
//! tests pass a map, and reports all problems at once; no problem shows a secret.

mod aws;
mod email;
mod endpoints;
mod environment;
mod load;
mod notifications;
mod origin;
mod reader;
mod service;
mod template;
#[cfg(test)]
mod tests;
mod values;
mod webhook;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::domain::Identity;

pub(crate) use email::{SUBMISSIONS, host, is_loopback};
pub use environment::Environment;
pub use load::VARIABLES;
pub use notifications::{MAX_ADDRESSES, NotificationsConfig, OwnRelay, RootEmail, RootSlack, RootVariables};
pub use origin::origin;
pub use reader::{ConfigErrors, Problem};
pub use template::UrlTemplate;
pub(crate) use webhook::channel;
pub use webhook::{WebhookError, WebhookUrl};

/// Everything that the environment decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// The message broker.
    pub broker: BrokerConfig,
    /// Where messages come from.
    pub source: SourceKind,
    /// Where AWS's services are.
    pub aws: AwsConfig,
    /// The database of participants and ledger.
    pub database: DatabaseConfig,
    /// How e-mails leave.
    pub email: EmailConfig,
    /// How a dispatch is worked off.
    pub delivery: DeliveryConfig,
    /// `TEMPLATES_DIR`: overrides the built-in templates, file by file.
    pub templates_dir: Option<PathBuf>,
    /// Where the tenants' files are, and what stands in for the root's.
    pub notifications: NotificationsConfig,
    /// What is kept of each dispatch.
    pub storage: StorageConfig,
    /// Who is told of the end of a dispatch.
    pub completions: CompletionsConfig,
    /// `ATTACHMENT_HOSTS`: host names from which attachments may be fetched.
    pub attachment_hosts: Vec<String>,
    /// The HTTP API.
    pub http: HttpConfig,
    /// `SHUTDOWN_GRACE`: in which work in flight may finish.
    pub shutdown_grace: Duration,
    /// Logs.
    pub log: LogConfig,
    /// Where `${NAME}` in a tenant's file is looked up.
    pub environment: Environment,
}

/// `LAVINMQ_*`.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// `amqp://` or `amqps://` with credentials and vhost: never to be printed.
    pub url: SecretString,
    /// `scheme://host:port/vhost` of the same, for logs.
    pub shown: String,
    /// Name of the main queue.
    pub queue: String,
    /// Dispatches in work at once, 1 … 65535.
    pub prefetch: u16,
}

/// `SOURCE`, `SQS_QUEUE_NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// The queue of [`BrokerConfig`].
    Amqp,
    /// An SQS queue.
    Sqs {
        /// Its name; `.fifo` at its end makes it a FIFO queue.
        queue: String,
    },
}

/// `AWS_*`.
#[derive(Debug, Clone)]
pub struct AwsConfig {
    /// Instead of AWS's own; S3 is then addressed path-style.
    pub endpoint: Option<Url>,
    /// Such as `eu-central-1`.
    pub region: String,
    /// Access key id, secret access key, and a session's token; without them the usual places are asked.
    pub credentials: Option<(String, SecretString, Option<SecretString>)>,
}

/// `OC_STORAGE_*`, `OC_S3_*`.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// Where bundles go.
    pub kind: StorageKind,
    /// `OC_STORAGE_USE_UNZIP`: what is gzip or zip is stored unpacked.
    pub unzip: bool,
    /// `OC_STORAGE_USE_BUNDLER`: all resources of a bundle in one `resources.zip`.
    pub bundler: bool,
}

/// `OC_STORAGE_TYPE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageKind {
    /// Nothing is kept.
    None,
    /// Below this folder.
    File(PathBuf),
    /// In a bucket.
    S3 {
        /// Its name.
        bucket: String,
        /// The beginning of all keys, without a slash at its end; may be empty.
        prefix: String,
    },
}

/// `OC_SQS_QUEUE_URL`, `COMPLETIONS_EXCHANGE`.
#[derive(Debug, Clone)]
pub struct CompletionsConfig {
    /// An SQS queue.
    pub sqs_queue_url: Option<Url>,
    /// A topic exchange of the message broker.
    pub exchange: Option<String>,
}

/// `DATABASE_*`.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// Which database, with what is needed to connect.
    pub target: DatabaseTarget,
    /// Logs SQL statements (never values) at debug level.
    pub echo: bool,
}

/// A parsed `DATABASE_URL`, its driver suffix dropped.
#[derive(Debug, Clone)]
pub enum DatabaseTarget {
    /// Path of a database file.
    Sqlite(PathBuf),
    /// A `postgres://` URL.
    Postgres(SecretString),
    /// A `mysql://` URL (`mariadb://` is rewritten to it).
    Mysql(SecretString),
}

/// How e-mails leave, and in whose name.
#[derive(Debug, Clone)]
pub struct EmailConfig {
    /// `EMAIL_DUMMY_MODE`: everything but the connection to the relay.
    pub dummy: bool,
    /// `EMAIL_DUMMY_DIR`: where dummy mode writes each e-mail.
    pub dummy_dir: Option<PathBuf>,
    /// `FROM_EMAIL`, `FROM_NAME`.
    pub identity: Identity,
    /// `UNSUBSCRIBE_URL`.
    pub unsubscribe_url: Option<UrlTemplate>,
    /// `SMTP_*`.
    pub relay: RelayConfig,
}

/// One relay: `SMTP_*`.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// Host name or address.
    pub host: String,
    /// TCP port, 1 … 65535.
    pub port: u16,
    /// User name and password for AUTH.
    pub credentials: Option<(String, SecretString)>,
    /// Whether and how the conversation is encrypted.
    pub tls: TlsMode,
    /// PEM file trusted besides the system's roots.
    pub tls_ca: Option<PathBuf>,
    /// Connections at most, 1 or more.
    pub connections: usize,
    /// For connecting, TLS, and each command's reply.
    pub timeout: Duration,
    /// E-mails a second over all connections, 0 = no limit.
    pub rate_limit: u32,
    /// For the reply to the final dot (RFC 5321 4.5.3.2.6).
    pub data_timeout: Duration,
}

/// Encryption of the conversation with a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain text.
    None,
    /// STARTTLS (RFC 3207), required: never a fallback to plain text.
    StartTls,
    /// TLS from the first byte (port 465, RFC 8314).
    Implicit,
}

/// How a dispatch is worked off.
#[derive(Debug, Clone)]
pub struct DeliveryConfig {
    /// Participants a page, 1 or more.
    pub batch_size: usize,
    /// W: notifications handed over whose outcome is not yet committed, 1 or more.
    pub in_flight: usize,
    /// What becomes of a handover whose outcome nobody knows.
    pub on_unknown: OnUnknown,
    /// Retries of a transient failure while the message is held.
    pub max_retries: u32,
    /// Base delay of those, doubling, with jitter.
    pub retry_delay: Duration,
    /// Steps after that, from the ledger; empty = such failures are final.
    pub retry_schedule: Vec<Duration>,
    /// How long closed dispatches and their rows are kept; also how long a `message_id` is remembered.
    pub retention: Duration,
    /// How long a dispatch whose lane is closed holds its message.
    pub park_after: Duration,
    /// After which another worker may take a silent worker's dispatch.
    pub lease: Duration,
}

/// `ON_UNKNOWN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// Send again, with the same Message-ID.
    Resend,
    /// Leave it to the operator.
    Hold,
}

/// `HTTP_ADDR`, `HTTP_ALLOWED_ORIGINS`, `API_TOKEN`.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Where to listen; `None` = no HTTP.
    pub addr: Option<SocketAddr>,
    /// Further origins of pages that may open `/ws`, as [`origin()`] writes them.
    pub allowed_origins: Vec<String>,
    /// Required as bearer token when set.
    pub token: Option<SecretString>,
}

/// `LOG_*`.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Directives for `tracing_subscriber::EnvFilter`.
    pub filter: String,
    /// Text or JSON lines.
    pub json: bool,
    /// A file beside stdout.
    pub file: Option<PathBuf>,
}
