//! `herald retry`.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::json;

use super::arguments::Retry;
use super::{CLOCK, Failure, load_config, open_database, quiet_logs};
use crate::domain::NotificationId;
use crate::repository::{self, Database, Retried};

pub(super) async fn retry(what: Retry) -> Result<(), Failure> {
    let since = what.since.as_deref().map(time).transpose()?;
    let config = load_config()?;
    let _guard = quiet_logs(&config.log)?;
    let db = open_database(&config).await?;
    let now = CLOCK().naive_utc();
    let retried = if let Some(id) = what.notification {
        db.write(move |conn| repository::retry_notification(conn, NotificationId(id), now))
            .await?
    } else if let Some(id) = what.dispatch {
        db.write(move |conn| repository::retry_dispatch(conn, id, now))
            .await?
    } else {
        all(&db, since, now).await?
    };
    match retried {
        Retried::Accepted(n) if what.json => {
            println!("{}", json!({"retried": n}));
            Ok(())
        }
        Retried::Accepted(n) => {
            println!("{n} back to work; a running worker takes them up.");
            Ok(())
        }
        Retried::NotFound => Err(Failure::Failed(
            "there is no such notification or dispatch".into(),
        )),
        Retried::NothingToRetry => Err(Failure::Failed("nothing of it is failed or unknown".into())),
    }
}

/// One transaction for each dispatch: a long one would hold up the worker.
async fn all(db: &Database, since: Option<NaiveDateTime>, now: NaiveDateTime) -> Result<Retried, Failure> {
    let dispatches = db.read(move |conn| repository::retryable(conn, since)).await?;
    let mut opened = 0;
    for id in dispatches {
        let retried = db
            .write(move |conn| repository::retry_dispatch(conn, id, now))
            .await?;
        if let Retried::Accepted(n) = retried {
            opened += n;
        }
    }
    Ok(if opened == 0 {
        Retried::NothingToRetry
    } else {
        Retried::Accepted(opened)
    })
}

fn time(text: &str) -> Result<NaiveDateTime, Failure> {
    let parsed = DateTime::parse_from_rfc3339(text).map(|t| t.with_timezone(&Utc).naive_utc());
    parsed.map_err(|_| {
        Failure::Usage(format!(
            "--since: `{text}` is not a time such as 2026-12-01T18:00:00Z"
        ))
    })
}
