//! Where the broker and the database are.

use std::path::PathBuf;

use lapin::uri::{AMQPAuthority, AMQPScheme, AMQPUri, AMQPUserInfo};
use secrecy::SecretString;
use url::{Host, Url};

use super::reader::{Reader, Takes};
use super::values::integer;
use super::{BrokerConfig, DatabaseConfig, DatabaseTarget};

/// Seconds between heartbeats, unless the URL says otherwise: a dead connection is noticed in a minute.
const HEARTBEAT: u16 = 30;
/// Octets of an AMQP short string, less those of `.dead`.
const MAX_QUEUE: usize = 250;

const AMQP_TAKES: &str = "amqp://user:password@host:port/vhost or amqps://…, with a host name or IPv4 address, and \
                          user, password and vhost percent-encoded (the vhost / is %2f)";
const DATABASE_TAKES: &str = "sqlite:///relative.db, sqlite:////absolute.db, postgres://user:password@host:port/name, \
                              postgresql://…, mysql://user:password@host:port/name or mariadb://…, user and password \
                              percent-encoded; a driver suffix such as +asyncpg is ignored";

pub(super) fn broker(r: &mut Reader<'_>) -> BrokerConfig {
    let uri = if r.text("LAVINMQ_URL").is_some() {
        r.secret("LAVINMQ_URL", parse_amqp).unwrap_or_default()
    } else {
        from_parts(r)
    };
    let vhost = if uri.vhost == "/" { "" } else { &uri.vhost };
    BrokerConfig {
        shown: format!(
            "{}://{}:{}/{vhost}",
            uri.scheme, uri.authority.host, uri.authority.port
        ),
        url: uri.to_string().into(),
        queue: r.value("LAVINMQ_QUEUE", "event_notifications".to_owned(), queue),
        prefetch: r.value("LAVINMQ_PREFETCH", 100, integer(1..=u16::MAX)),
    }
}

fn from_parts(r: &mut Reader<'_>) -> AMQPUri {
    let mut uri = AMQPUri {
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            host: r.value("LAVINMQ_HOST", "localhost".to_owned(), amqp_host),
            port: r.value("LAVINMQ_PORT", 5672, integer(1..=u16::MAX)),
            userinfo: AMQPUserInfo {
                username: r.text("LAVINMQ_USERNAME").unwrap_or_else(|| "guest".to_owned()),
                password: r.text("LAVINMQ_PASSWORD").unwrap_or_else(|| "guest".to_owned()),
            },
        },
        vhost: r.text("LAVINMQ_VHOST").unwrap_or_else(|| "/".to_owned()),
        ..AMQPUri::default()
    };
    uri.query.heartbeat = Some(HEARTBEAT);
    uri
}

/// The AMQP library takes an IPv6 literal for localhost, so that one is refused.
fn amqp_host(s: &str) -> Result<String, Takes> {
    match Host::parse(s) {
        Ok(Host::Domain(_) | Host::Ipv4(_)) => Ok(s.to_owned()),
        _ => Err("a host name or IPv4 address".to_owned()),
    }
}

fn parse_amqp(s: &str) -> Result<AMQPUri, Takes> {
    let url = Url::parse(s.trim()).map_err(|_| AMQP_TAKES)?;
    let mut uri: AMQPUri = url.as_str().parse().map_err(|_| AMQP_TAKES)?;
    if url.fragment().is_some() || url.port() == Some(0) {
        return Err(AMQP_TAKES.to_owned());
    }
    url.host_str()
        .ok_or_else(String::new)
        .and_then(amqp_host)
        .map_err(|_| AMQP_TAKES)?;
    if uri.vhost.is_empty() {
        "/".clone_into(&mut uri.vhost);
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    Ok(uri)
}

fn queue(s: &str) -> Result<String, Takes> {
    let fine = s.len() <= MAX_QUEUE && !s.starts_with("amq.") && !s.chars().any(char::is_control);
    fine.then(|| s.to_owned())
        .ok_or_else(|| format!("a queue's name of at most {MAX_QUEUE} bytes that does not begin with amq."))
}

pub(super) fn database(r: &mut Reader<'_>) -> DatabaseConfig {
    DatabaseConfig {
        target: r
            .secret("DATABASE_URL", parse_database)
            .unwrap_or_else(|| DatabaseTarget::Sqlite(PathBuf::from("notification_service.db"))),
        echo: r.boolean("DATABASE_ECHO", false),
    }
}

fn parse_database(s: &str) -> Result<DatabaseTarget, Takes> {
    let target = s.trim().split_once("://").and_then(|(scheme, rest)| {
        let scheme = scheme.to_ascii_lowercase();
        match scheme
            .split_once('+')
            .map_or(scheme.as_str(), |(name, _driver)| name)
        {
            "sqlite" => sqlite_path(rest).map(DatabaseTarget::Sqlite),
            "postgres" | "postgresql" => server_url("postgres", rest, false).map(DatabaseTarget::Postgres),
            "mysql" | "mariadb" => server_url("mysql", rest, true).map(DatabaseTarget::Mysql),
            _ => None,
        }
    });
    target.ok_or_else(|| DATABASE_TAKES.to_owned())
}

/// What follows the empty host's slash. A database in memory would forget the ledger: refused.
fn sqlite_path(rest: &str) -> Option<PathBuf> {
    let path = rest.strip_prefix('/')?;
    let file = !path.is_empty()
        && !path.ends_with('/')
        && !path.starts_with(":memory:")
        && !path.contains(['?', '\0']);
    file.then(|| PathBuf::from(path))
}

/// The rest stays as it is, percent-encoding included. `PostgreSQL` alone may go without host and name,
/// and may have several hosts, which are left to its library.
fn server_url(scheme: &str, rest: &str, complete: bool) -> Option<SecretString> {
    let text = format!("{scheme}://{rest}");
    let several = !complete && rest.split('/').next()?.contains(',');
    if rest.is_empty() || rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return None;
    }
    if !several {
        let url = Url::parse(&text).ok()?;
        let host = url.host_str().is_some_and(|h| !h.is_empty());
        let name = url.path().trim_start_matches('/');
        if name.contains('/') || (complete && (name.is_empty() || !host)) {
            return None;
        }
    }
    Some(text.into())
}
