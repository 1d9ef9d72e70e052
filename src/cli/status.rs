//! `herald status`.

use chrono::{NaiveDateTime, SecondsFormat};
use serde_json::{Value, json};

use super::{Failure, load_config, open_database, quiet_logs};
use crate::domain::DispatchId;
use crate::repository::{self, Counts, DispatchView, Missed};

/// Dispatches listed.
const LISTED: u32 = 20;

/// Failed recipients listed.
const MISSED: u32 = 1000;

pub(super) async fn status(id: Option<DispatchId>, as_json: bool) -> Result<(), Failure> {
    let config = load_config()?;
    let _guard = quiet_logs(&config.log)?;
    let db = open_database(&config).await?;
    match id {
        None => {
            let listed = db.read(|conn| {
                let views = repository::dispatches(conn, LISTED)?;
                views
                    .into_iter()
                    .map(|view| with_counts(conn, view))
                    .collect::<Result<Vec<_>, _>>()
            });
            list(&listed.await?, as_json);
        }
        Some(id) => {
            let found = db.read(move |conn| {
                let Some(view) = repository::dispatch(conn, id)? else {
                    return Ok(None);
                };
                let (view, counts) = with_counts(conn, view)?;
                Ok(Some((view, counts, repository::missed(conn, id, MISSED)?)))
            });
            let Some((view, counts, missed)) = found.await? else {
                return Err(Failure::Failed(format!("there is no dispatch {id}")));
            };
            detail(&view, &counts, &missed, as_json);
        }
    }
    Ok(())
}

fn with_counts(
    conn: &mut repository::AnyConnection,
    view: DispatchView,
) -> Result<(DispatchView, Counts), repository::DbError> {
    let id = view
        .id
        .parse()
        .map_err(|e| repository::DbError::Fault(format!("dispatches.id: {e}")))?;
    let counts = repository::counts(conn, id)?;
    Ok((view, counts))
}

fn list(dispatches: &[(DispatchView, Counts)], as_json: bool) {
    if as_json {
        let items: Vec<Value> = dispatches
            .iter()
            .map(|(view, counts)| to_json(view, counts))
            .collect();
        println!("{}", json!(items));
    } else if dispatches.is_empty() {
        println!("No dispatch yet.");
    } else {
        println!(
            "{:36}  {:9}  {:>19}  {:10}  outcome",
            "dispatch", "type", "event", "status"
        );
        for (view, counts) in dispatches {
            let event = view.event_id.map(|id| id.to_string()).unwrap_or_default();
            println!(
                "{}  {:9}  {event:>19}  {:10}  {}",
                view.id,
                view.kind,
                view.status,
                words(view, counts)
            );
        }
    }
}

fn detail(view: &DispatchView, counts: &Counts, missed: &[Missed], as_json: bool) {
    if as_json {
        let people: Vec<Value> = missed
            .iter()
            .map(|m| {
                json!({"notification": m.id, "recipient": m.recipient, "status": m.status,
                       "attempts": m.attempts, "error": m.error})
            })
            .collect();
        let mut value = to_json(view, counts);
        value["missed"] = json!(people);
        println!("{value}");
        return;
    }
    println!("Dispatch   {}", view.id);
    println!(
        "Message    {} {}",
        view.kind,
        view.message_id.as_deref().unwrap_or("(without id)")
    );
    if let Some(event) = view.event_id {
        println!("Event      {event}");
    }
    println!("Status     {}", view.status);
    println!("Outcome    {}", words(view, counts));
    println!("Accepted   {}", rfc3339(view.created_at));
    if let Some(closed) = view.closed_at {
        println!("Closed     {}", rfc3339(closed));
    }
    if let Some(error) = &view.error {
        println!("Error      {error}");
    }
    for m in missed {
        let recipient = m.recipient.as_deref().unwrap_or("(nobody)");
        println!(
            "  {} {recipient} after {} attempts: {}",
            m.status,
            m.attempts,
            m.error.as_deref().unwrap_or("?")
        );
    }
}

fn words(view: &DispatchView, counts: &Counts) -> String {
    let mut words: Vec<String> = counts.iter().map(|(status, n)| format!("{n} {status}")).collect();
    if !view.audience_read() {
        let rest = match (view.closed_at, words.is_empty()) {
            (None, _) => "more to come",
            (Some(_), true) => "nobody told",
            (Some(_), false) => "the others not told",
        };
        words.push(rest.into());
    }
    if words.is_empty() {
        "nobody to tell".into()
    } else {
        words.join(", ")
    }
}

fn to_json(view: &DispatchView, counts: &Counts) -> Value {
    let by_status: serde_json::Map<String, Value> = counts
        .iter()
        .map(|(status, n)| (status.to_string(), json!(n)))
        .collect();
    json!({
        "id": view.id, "type": view.kind, "tenant_id": view.tenant_id, "event_id": view.event_id,
        "message_id": view.message_id, "status": view.status, "counts": by_status, "total": view.total(counts),
        "progress": view.progress(counts), "created_at": rfc3339(view.created_at),
        "closed_at": view.closed_at.map(rfc3339), "error": view.error,
    })
}

pub(super) fn rfc3339(time: NaiveDateTime) -> String {
    time.and_utc().to_rfc3339_opts(SecondsFormat::Millis, true)
}
