//! `herald tenant`.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::{Failure, load_config};
use crate::domain::TenantId;
use crate::policy::{Effective, EffectiveState, Tenants};

/// Needs neither broker nor database, and reads no other tenant's file.
pub(super) fn tenant(id: &TenantId, as_json: bool) -> Result<(), Failure> {
    let config = load_config()?;
    let tenants = Tenants::new(&config.notifications, &config.environment);
    tenants.resolve(Some(id), SystemTime::now());
    let effective = tenants.effective(id);
    if as_json {
        println!("{}", json!(effective));
    } else {
        for line in lines(&effective) {
            println!("{line}");
        }
    }
    // A configuration that is switched off does what it says; one that cannot be used does not.
    if effective.state == EffectiveState::Disabled && effective.error.is_some() {
        return Err(Failure::Told);
    }
    Ok(())
}

/// Names and values in two columns.
fn lines(effective: &Effective) -> Vec<String> {
    let mut rows = vec![
        ("Tenant".to_owned(), effective.tenant_id.clone()),
        ("State".to_owned(), effective.state.as_str().to_owned()),
    ];
    let further = [("File", &effective.file), ("Error", &effective.error)];
    for (name, value) in further {
        rows.extend(value.as_ref().map(|value| (name.to_owned(), value.clone())));
    }
    if let Some(config) = &effective.config {
        flatten(String::new(), config, &mut rows);
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let line = |(name, value): &(String, String)| format!("{name:width$}  {value}");
    rows.iter().map(line).collect()
}

/// One row for each value, under its path; nothing for what is left to the environment.
fn flatten(path: String, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (key, value) in members {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(format!("{path}{dot}{key}"), value, rows);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (i, item) in items.iter().enumerate() {
                flatten(format!("{path}[{i}]"), item, rows);
            }
        }
        Value::Array(items) if items.is_empty() => rows.push((path, "(none)".to_owned())),
        Value::Array(items) => {
            let texts: Vec<_> = items.iter().map(text).collect();
            rows.push((path, texts.join(", ")));
        }
        other => rows.push((path, text(other))),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_columns() {
        let effective = Effective {
            tenant_id: "acme".into(),
            state: EffectiveState::Tenant,
            file: Some("./configs/acme/notifications.json".into()),
            error: None,
            config: Some(json!({
                "enabled": true, "max_retries": null,
                "email": {"smtp_port": 587, "to_emails": ["a@acme.com", "b@acme.com"], "cc_emails": []},
                "event_triggers": [{"event": "system_error", "cooldown_seconds": 0.5}]
            })),
        };
        assert_eq!(
            lines(&effective).join("\n"),
            "Tenant                              acme\n\
             State                               tenant\n\
             File                                ./configs/acme/notifications.json\n\
             enabled                             true\n\
             email.smtp_port                     587\n\
             email.to_emails                     a@acme.com, b@acme.com\n\
             email.cc_emails                     (none)\n\
             event_triggers[0].event             system_error\n\
             event_triggers[0].cooldown_seconds  0.5"
        );
    }
}
