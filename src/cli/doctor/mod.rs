//! `herald doctor`: everything that a worker needs, or that a tenant has configured, tried out; one line each.

mod process;
mod relay;
mod tenant;

use std::time::Duration;

use serde_json::json;

use super::{Failure, load_config};
use crate::config::Config;
use crate::domain::{TenantId, one_line};
use crate::render::TemplateError;

/// Time for one check.
const CHECK: Duration = Duration::from_secs(20);

/// Longest detail of a line, in characters.
const LINE: usize = 2_000;

/// What was found, or what is wrong.
type Finding = Result<String, String>;

/// What was looked at, and what was found.
type Findings = Vec<(&'static str, Finding)>;

pub(super) async fn doctor(tenant: Option<&TenantId>, as_json: bool) -> Result<(), Failure> {
    let config = load_config()?;
    let findings = match tenant {
        Some(tenant) => tenant::findings(&config, tenant).await,
        None => Box::pin(process::findings(&config)).await,
    };
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

/// Where the templates that all share come from.
fn base_templates(config: &Config) -> String {
    match &config.templates_dir {
        Some(dir) => format!("built in, with overrides from {}", dir.display()),
        None => "built in".to_owned(),
    }
}

/// All that is wrong with templates.
fn unusable(error: &TemplateError) -> String {
    let problems = error.problems.iter().map(|p| format!("{}: {}", p.file, p.reason));
    problems.collect::<Vec<_>>().join("; ")
}
