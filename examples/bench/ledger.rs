//! The database of a run: fresh, and looked into afterwards.

use std::path::Path;

use chrono::{NaiveDateTime, TimeDelta, Utc};
use clap::ValueEnum;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use herald::config::{DatabaseConfig, DatabaseTarget};
use herald::domain::EventId;
use herald::repository::schema::{dispatches, notifications};
use herald::repository::{self, Database};

use crate::Fallible;
use crate::scene::Servers;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    pub(crate) fn shown(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// A database that nobody else uses.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) url: String,
    db: Database,
}

impl Ledger {
    /// An empty one; the one of that name before it is removed.
    pub(crate) fn create(servers: &Servers, kind: Kind, name: &str) -> Fallible<Self> {
        let (url, target) = match kind {
            Kind::Sqlite => {
                let path = servers.work.join(format!("{name}.db"));
                remove(&path);
                (
                    format!("sqlite:///{}", path.display()),
                    DatabaseTarget::Sqlite(path),
                )
            }
            Kind::Postgres => {
                let server = servers.postgres.as_ref().ok_or("there is no PostgreSQL")?;
                let mut conn = PgConnection::establish(server)?;
                conn.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))?;
                conn.batch_execute(&format!("CREATE DATABASE {name}"))?;
                let base = server
                    .rsplit_once('/')
                    .ok_or("the address of PostgreSQL has no database")?
                    .0;
                let url = format!("{base}/{name}");
                (url.clone(), DatabaseTarget::Postgres(url.into()))
            }
        };
        let db = Database::new(&DatabaseConfig { target, echo: false })?;
        Ok(Self { url, db })
    }

    /// A small event with participants whom no other has.
    pub(crate) async fn add_event(&self, id: i64, participants: u64) -> Fallible<()> {
        let event = EventId::new(id)?;
        let people: Vec<_> = (0..participants)
            .map(|i| {
                (
                    format!("participant{i}@e{id}.example.com"),
                    format!("Participant {i}"),
                )
            })
            .collect();
        let add = self.db.write(move |conn| {
            repository::put_event(conn, event, None)?;
            repository::add_participants(conn, event, &people)
        });
        Ok(add.await?)
    }

    /// Rows that are `sent`, and rows in all.
    pub(crate) async fn rows(&self) -> Fallible<(u64, u64)> {
        let (sent, all): (i64, i64) = self
            .db
            .read(|conn| {
                let sent = notifications::table.filter(notifications::status.eq("sent"));
                Ok((
                    sent.count().get_result(conn)?,
                    notifications::table.count().get_result(conn)?,
                ))
            })
            .await?;
        Ok((u64::try_from(sent)?, u64::try_from(all)?))
    }

    /// When the dispatches of these messages were completed, in their order; `None` where one is not.
    pub(crate) async fn completed(&self, messages: &[String]) -> Fallible<Vec<Option<NaiveDateTime>>> {
        let asked = messages.to_vec();
        let rows: Vec<(Option<String>, Option<NaiveDateTime>)> = self
            .db
            .read(move |conn| {
                let closed = dispatches::table
                    .filter(dispatches::message_id.eq_any(asked))
                    .filter(dispatches::status.eq("completed"))
                    .select((dispatches::message_id, dispatches::closed_at));
                Ok(closed.load(conn)?)
            })
            .await?;
        let find = |message: &String| rows.iter().find(|row| row.0.as_ref() == Some(message))?.1;
        Ok(messages.iter().map(find).collect())
    }
}

/// In ms since `begun`, by the clock that the ledger's times are of.
pub(crate) fn since(begun: NaiveDateTime, end: NaiveDateTime) -> f64 {
    let passed: TimeDelta = end - begun;
    passed.as_seconds_f64() * 1000.0
}

pub(crate) fn now() -> NaiveDateTime {
    Utc::now().naive_utc()
}

fn remove(path: &Path) {
    for ending in ["", "-wal", "-shm"] {
        // Mostly there is none.
        let _ = std::fs::remove_file(format!("{}{ending}", path.display()));
    }
}
