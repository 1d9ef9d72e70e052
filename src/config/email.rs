//! `EMAIL_*`, `FROM_*`, `SMTP_*`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Host;

use super::reader::{Reader, Takes};
use super::values::{duration, integer};
use super::{EmailConfig, RelayConfig, TlsMode, UrlTemplate};
use crate::domain::{DisplayName, EmailAddress, Identity};

/// SMTP over TLS from the first byte (RFC 8314 3.3).
pub(crate) const SUBMISSIONS: u16 = 465;
const MAX_CONNECTIONS: usize = 1_000;
const MIN_TIMEOUT: Duration = Duration::from_millis(1);
const MAX_TIMEOUT: Duration = Duration::from_hours(1);

pub(super) fn email(r: &mut Reader<'_>) -> EmailConfig {
    EmailConfig {
        dummy: r.boolean("EMAIL_DUMMY_MODE", true),
        dummy_dir: r.text("EMAIL_DUMMY_DIR").map(PathBuf::from),
        identity: identity(r),
        unsubscribe_url: r.optional("UNSUBSCRIBE_URL", UrlTemplate::parse),
        relay: relay(r),
    }
}

fn identity(r: &mut Reader<'_>) -> Identity {
    let name = r.text("FROM_NAME");
    let alias = r.optional("SMTP_FROM", address);
    let given = r.optional("FROM_EMAIL", address).or(alias);
    Identity {
        address: given.unwrap_or_else(default_sender),
        name: DisplayName::clean(name.as_deref().unwrap_or("Notification Service")),
    }
}

pub(super) fn address(s: &str) -> Result<EmailAddress, Takes> {
    s.parse().map_err(|e| format!("an e-mail address ({e})"))
}

#[expect(clippy::expect_used, reason = "a constant, covered by a test")]
fn default_sender() -> EmailAddress {
    "notifications@example.com".parse().expect("a valid address")
}

fn relay(r: &mut Reader<'_>) -> RelayConfig {
    let host = r.value("SMTP_HOST", "localhost".to_owned(), host);
    let port = r.value("SMTP_PORT", 587, integer(1..=u16::MAX));
    let tls = match (r.boolean("SMTP_USE_TLS", true), port) {
        (false, _) => TlsMode::None,
        (true, SUBMISSIONS) => TlsMode::Implicit,
        (true, _) => TlsMode::StartTls,
    };
    let timeout = duration(MIN_TIMEOUT..=MAX_TIMEOUT);
    RelayConfig {
        credentials: credentials(r, tls, &host),
        tls,
        host,
        port,
        tls_ca: r.text("SMTP_TLS_CA").map(PathBuf::from),
        connections: r.value("SMTP_CONNECTIONS", 20, integer(1..=MAX_CONNECTIONS)),
        rate_limit: r.value("SMTP_RATE_LIMIT", 0, integer(0..=1_000_000)),
        timeout: r.value("SMTP_TIMEOUT", Duration::from_mins(1), &timeout),
        data_timeout: r.value("SMTP_DATA_TIMEOUT", Duration::from_mins(10), &timeout),
    }
}

fn credentials(r: &mut Reader<'_>, tls: TlsMode, host: &str) -> Option<(String, SecretString)> {
    let pair = user_and_password(r, "SMTP_USERNAME", "SMTP_PASSWORD")?;
    if tls == TlsMode::None && !is_loopback(host) {
        r.problem(
            "SMTP_USE_TLS",
            "has to be true where SMTP_USERNAME is set, unless SMTP_HOST is loopback: credentials never \
             travel in plain text",
        );
    }
    Some(pair)
}

/// Both or none.
pub(super) fn user_and_password(
    r: &mut Reader<'_>,
    user_name: &str,
    password_name: &str,
) -> Option<(String, SecretString)> {
    match (r.text(user_name), r.text(password_name)) {
        (Some(user), Some(password)) => Some((user, password.into())),
        (Some(_), None) => {
            r.problem(password_name, format!("has to be set where {user_name} is"));
            None
        }
        (None, Some(_)) => {
            r.problem(user_name, format!("has to be set where {password_name} is"));
            None
        }
        (None, None) => None,
    }
}

/// A host name, or an address without brackets.
pub(crate) fn host(s: &str) -> Result<String, Takes> {
    let bare = s.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let address = bare.unwrap_or(s).parse::<IpAddr>();
    match (address, Host::parse(s)) {
        (Ok(address), _) => Ok(address.to_string()),
        (_, Ok(Host::Domain(_))) => Ok(s.to_owned()),
        _ => Err("a host name or an IP address".to_owned()),
    }
}

/// Whether what is sent there stays on this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|a| a.to_canonical().is_loopback())
}
