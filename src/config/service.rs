//! How dispatches are worked off, where HTTP listens, what is logged.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

use super::origin::origin;
use super::reader::{Reader, Takes};
use super::values::{duration, durations, integer};
use super::{DeliveryConfig, HttpConfig, LogConfig, OnUnknown};

const MAX_BATCH: usize = 10_000;
const MAX_IN_FLIGHT: usize = 65_536;
const MAX_RETRIES: u32 = 100;
const MAX_STEPS: usize = 100;
/// A worker beats every third of it, so much less would be all beats.
const MIN_LEASE: Duration = Duration::from_millis(300);
const HOUR: Duration = Duration::from_hours(1);
const MONTH: Duration = Duration::from_hours(720);

pub(super) fn delivery(r: &mut Reader<'_>) -> DeliveryConfig {
    DeliveryConfig {
        batch_size: r.value("BATCH_SIZE", 100, integer(1..=MAX_BATCH)),
        in_flight: r.value("IN_FLIGHT", 256, integer(1..=MAX_IN_FLIGHT)),
        on_unknown: r.value("ON_UNKNOWN", OnUnknown::Resend, on_unknown),
        max_retries: r.value("MAX_RETRIES", 3, integer(0..=MAX_RETRIES)),
        retry_delay: r.value(
            "RETRY_DELAY",
            Duration::from_secs(5),
            duration(Duration::ZERO..=HOUR),
        ),
        retry_schedule: retry_schedule(r),
        retention: r.value(
            "RETENTION",
            Duration::from_hours(24 * 90),
            duration(Duration::from_secs(1)..=Duration::from_hours(24 * 3650)),
        ),
        park_after: r.value(
            "PARK_AFTER",
            Duration::from_mins(10),
            duration(Duration::from_secs(1)..=HOUR * 24),
        ),
        lease: r.value("LEASE", Duration::from_secs(15), duration(MIN_LEASE..=HOUR)),
    }
}

fn on_unknown(s: &str) -> Result<OnUnknown, Takes> {
    match s.to_ascii_lowercase().as_str() {
        "resend" => Ok(OnUnknown::Resend),
        "hold" => Ok(OnUnknown::Hold),
        _ => Err("resend or hold".to_owned()),
    }
}

/// Set but empty means that there are no further steps.
fn retry_schedule(r: &mut Reader<'_>) -> Vec<Duration> {
    let value = r
        .raw("RETRY_SCHEDULE")
        .unwrap_or_else(|| "5m,30m,2h,5h,10h".to_owned());
    if value.trim().is_empty() {
        return Vec::new();
    }
    let steps = durations(Duration::from_millis(1)..=MONTH, MAX_STEPS);
    r.checked("RETRY_SCHEDULE", &value, steps).unwrap_or_default()
}

/// Ends a held worker's patience at a stop.
pub(super) fn shutdown_grace(r: &mut Reader<'_>) -> Duration {
    let grace = duration(Duration::ZERO..=HOUR);
    r.value("SHUTDOWN_GRACE", Duration::from_secs(30), grace)
}

/// Set but empty means that there is no HTTP.
pub(super) fn http(r: &mut Reader<'_>) -> HttpConfig {
    let value = r.raw("HTTP_ADDR").unwrap_or_else(|| "127.0.0.1:8004".to_owned());
    let addr = if value.trim().is_empty() {
        None
    } else {
        r.checked("HTTP_ADDR", &value, http_addr)
    };
    let given = r.text("API_TOKEN").is_some();
    let token = r.secret("API_TOKEN", token);
    if addr.is_some_and(|a| !a.ip().to_canonical().is_loopback()) && !given {
        r.problem(
            "API_TOKEN",
            "has to be set where HTTP_ADDR is not a loopback address such as 127.0.0.1:8004",
        );
    }
    let allowed_origins = r.optional("HTTP_ALLOWED_ORIGINS", origins).unwrap_or_default();
    HttpConfig {
        addr,
        allowed_origins,
        token,
    }
}

/// Up to so many.
const MAX_ORIGINS: usize = 100;

fn origins(s: &str) -> Result<Vec<String>, Takes> {
    let all: Option<Vec<String>> = s.split(',').map(|one| origin(one.trim())).collect();
    all.filter(|all| all.len() <= MAX_ORIGINS).ok_or_else(|| {
        format!("up to {MAX_ORIGINS} origins such as https://gateway.example.com or http://10.0.0.7:8080, separated by commas")
    })
}

fn http_addr(s: &str) -> Result<SocketAddr, Takes> {
    let local = s
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    local
        .as_deref()
        .unwrap_or(s)
        .parse()
        .map_err(|_| "an IP address and port such as 127.0.0.1:8004, or nothing for no HTTP".to_owned())
}

/// What can stand in an `Authorization` header as it is (RFC 6750 2.1).
fn token(s: &str) -> Result<SecretString, Takes> {
    s.bytes()
        .all(|b| b.is_ascii_graphic())
        .then(|| s.into())
        .ok_or_else(|| "visible ASCII characters without spaces".to_owned())
}

pub(super) fn log(r: &mut Reader<'_>) -> LogConfig {
    let file = r
        .raw("LOG_FILE")
        .unwrap_or_else(|| "notification_service.log".to_owned());
    LogConfig {
        filter: r.value("LOG_LEVEL", "info,lapin=off".to_owned(), log_filter),
        json: r.value("LOG_FORMAT", false, log_format),
        file: Some(file).filter(|f| !f.is_empty()).map(PathBuf::from),
    }
}

/// A level's word, or directives as they are. The other crates' debug lines show what passes over the
/// wire, credentials among it: a bare `DEBUG` means this program's own. lapin logs returned messages with
/// their bodies, and what it reports comes back as an error anyway.
fn log_filter(s: &str) -> Result<String, Takes> {
    let word = match s.to_ascii_uppercase().as_str() {
        "DEBUG" => "info,herald=debug,lapin=off",
        "INFO" => "info,lapin=off",
        "WARNING" | "WARN" => "warn,lapin=off",
        "ERROR" | "CRITICAL" => "error,lapin=off",
        _ => "",
    };
    if !word.is_empty() {
        return Ok(word.to_owned());
    }
    // A lone word would be taken for the name of a module, a misspelt level above all.
    let directives = s.contains(['=', ',']) && EnvFilter::builder().parse(s).is_ok();
    directives.then(|| s.to_owned()).ok_or_else(|| {
        "DEBUG, INFO, WARNING, ERROR or CRITICAL, or directives per module such as info,herald::mailer=debug"
            .to_owned()
    })
}

fn log_format(s: &str) -> Result<bool, Takes> {
    match s.to_ascii_lowercase().as_str() {
        "text" => Ok(false),
        "json" => Ok(true),
        _ => Err("text or json".to_owned()),
    }
}
