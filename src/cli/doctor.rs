//! `herald doctor`: everything that a worker needs, tried out; one line each.

use std::time::Duration;

use serde_json::json;

use super::{Failure, load_config};
use crate::config::{Config, TlsMode};
use crate::consumer::Publisher;
use crate::domain::one_line;
use crate::mailer::Relay;
use crate::render::Templates;
use crate::repository::Database;

/// Time for one check.
const CHECK: Duration = Duration::from_secs(20);

/// Longest detail of a line, in characters.
const LINE: usize = 2_000;

type Finding = Result<String, String>;

pub(super) async fn doctor(as_json: bool) -> Result<(), Failure> {
    let config = load_config()?;
    let findings = [
        ("configuration", Ok("every variable is valid".to_owned())),
        ("templates", templates(&config)),
        ("database", in_time(database(&config)).await),
        ("broker", Box::pin(in_time(broker(&config))).await),
        ("relay", in_time(relay(&config)).await),
    ];
    let healthy = findings.iter().all(|(_, finding)| finding.is_ok());
    if as_json {
        let checks: Vec<_> = findings
            .iter()
            .map(|(check, finding)| {
                let (Ok(detail) | Err(detail)) = finding;
                json!({"check": check, "ok": finding.is_ok(), "detail": detail})
            })
            .collect();
        println!("{}", json!(checks));
    } else {
        for (check, finding) in &findings {
            let (Ok(detail) | Err(detail)) = finding;
            println!(
                "{:4}  {check:13}  {}",
                if finding.is_ok() { "ok" } else { "FAIL" },
                one_line(detail, LINE),
            );
        }
    }
    if healthy { Ok(()) } else { Err(Failure::Told) }
}

async fn in_time(check: impl Future<Output = Finding>) -> Finding {
    let late = || format!("no answer within {} s", CHECK.as_secs());
    tokio::time::timeout(CHECK, check)
        .await
        .unwrap_or_else(|_| Err(late()))
}

fn templates(config: &Config) -> Finding {
    let loaded = Templates::load(config.templates_dir.as_deref()).map_err(|e| {
        let problems = e.problems.iter().map(|p| format!("{}: {}", p.file, p.reason));
        problems.collect::<Vec<_>>().join("; ")
    });
    loaded.map(|_| match &config.templates_dir {
        Some(dir) => format!("built in, with overrides from {}", dir.display()),
        None => "built in".to_owned(),
    })
}

async fn database(config: &Config) -> Finding {
    let db = Database::new(&config.database).map_err(|e| e.to_string())?;
    db.ping().await.map_err(|e| e.to_string())?;
    let pending = db.pending_migrations().await.map_err(|e| e.to_string())?;
    if pending {
        return Err("reachable, but not up to date: run `herald migrate`".into());
    }
    match db.weak_durability().await.map_err(|e| e.to_string())? {
        Some(weakness) => Err(format!("may lose what it has committed: {weakness}")),
        None => Ok("reachable, up to date, keeps what it commits".into()),
    }
}

async fn broker(config: &Config) -> Finding {
    let publisher = Publisher::new(&config.broker);
    let there = publisher.ensure_queue(&config.broker.queue).await;
    publisher.close().await;
    there.map_err(|e| format!("{}: {e}", config.broker.shown))?;
    Ok(format!(
        "{}, queue `{}` is there",
        config.broker.shown, config.broker.queue
    ))
}

async fn relay(config: &Config) -> Finding {
    if config.email.dummy {
        return Ok("dummy mode: no relay is used".into());
    }
    let relay = Relay::new(&config.email.relay).map_err(|e| e.to_string())?;
    let shown = relay.shown();
    let conversation = relay
        .connect()
        .await
        .map_err(|fault| format!("{shown}: {fault}"))?;
    let tls = match config.email.relay.tls {
        TlsMode::None => "plain text",
        TlsMode::StartTls => "STARTTLS",
        TlsMode::Implicit => "TLS",
    };
    let auth = if config.email.relay.credentials.is_some() {
        "AUTH accepted"
    } else {
        "no AUTH"
    };
    conversation.quit().await;
    Ok(format!("{shown} greets, {tls}, {auth}"))
}
