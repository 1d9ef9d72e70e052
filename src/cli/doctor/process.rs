//! What a worker needs.

use std::time::SystemTime;

use super::{Finding, Findings, base_templates, in_time, relay, unusable};
use crate::completion::{Target, Targets};
use crate::config::{Config, StorageKind};
use crate::consumer::{Publisher, Queue};
use crate::policy::Tenants;
use crate::render::Templates;
use crate::repository::Database;
use crate::storage;

pub(super) async fn findings(config: &Config) -> Findings {
    let mut findings = vec![
        ("configuration", Ok("every variable is valid".to_owned())),
        ("tenants", tenants(config)),
        ("templates", templates(config)),
        ("database", in_time(database(config)).await),
        ("broker", Box::pin(in_time(broker(config))).await),
        ("relay", in_time(relay::check(config, &config.email.relay)).await),
    ];
    if config.storage.kind != StorageKind::None {
        findings.push(("storage", Box::pin(in_time(kept(config))).await));
    }
    let targets = Targets::new(&config.completions, &config.broker, &config.aws).await;
    for target in targets.iter() {
        findings.push(("completions", Box::pin(in_time(told(target))).await));
    }
    targets.close().await;
    findings
}

/// Where dispatches are kept: a probe is written, read back and removed.
async fn kept(config: &Config) -> Finding {
    let configured = storage::from_config(&config.storage, &config.aws).map_err(|e| e.to_string())?;
    if let Some((store, _)) = configured {
        store.check().await.map_err(|e| e.to_string())?;
    }
    Ok("a probe was written, read back and removed".into())
}

/// One who is told of the end of dispatches; nothing is sent there.
async fn told(target: &Target) -> Finding {
    let shown = target.shown();
    match target.check().await {
        Ok(()) => Ok(format!("{shown} is there")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

/// The configuration files, the root's among them.
fn tenants(config: &Config) -> Finding {
    let tenants = Tenants::load(&config.notifications, &config.environment, SystemTime::now());
    let (files, problems) = tenants.files();
    let counted = match files {
        0 => "no configuration files".to_owned(),
        1 => "1 configuration file".to_owned(),
        more => format!("{more} configuration files"),
    };
    if problems.is_empty() {
        return Ok(counted);
    }
    let shown: Vec<_> = problems.iter().map(ToString::to_string).collect();
    Err(format!(
        "{counted}, {} invalid: {}",
        shown.len(),
        shown.join("; ")
    ))
}

fn templates(config: &Config) -> Finding {
    let loaded = Templates::load(config.templates_dir.as_deref());
    loaded
        .map(|_| base_templates(config))
        .map_err(|error| unusable(&error))
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
    let queue = Queue::of(config);
    let publisher = Publisher::new(&queue);
    let there = publisher.ensure_queue().await;
    publisher.close().await;
    there.map_err(|e| format!("{}: {e}", queue.shown()))?;
    Ok(format!("{}, queue `{}` is there", queue.shown(), queue.name()))
}
