//! Databases of a test's own, and a look at them from outside: plain Diesel connections, none of
//! Herald's own code. The servers are those of `HERALD_TEST_POSTGRES` and `HERALD_TEST_MYSQL`.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use tempfile::TempDir;
use url::Url;

use super::postgres::Postgres;
use super::until;

diesel::table! {
    participants {
        id -> BigInt,
        event_id -> BigInt,
        email -> Text,
        name -> Text,
        unsubscribed_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    notifications {
        id -> BigInt,
        dispatch_id -> Text,
        channel -> Text,
        recipient -> Nullable<Text>,
        name -> Text,
        message_id -> Text,
        status -> Text,
        attempts -> Integer,
        error -> Nullable<Text>,
        next_attempt_at -> Nullable<Timestamp>,
        sent_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    dispatches {
        id -> Text,
        message_id -> Nullable<Text>,
        event_id -> Nullable<BigInt>,
        status -> Text,
        error -> Nullable<Text>,
        starts -> Integer,
        vain_starts -> Integer,
        ack_proven -> Bool,
        lease_token -> Nullable<Text>,
        due_at -> Nullable<Timestamp>,
        closed_at -> Nullable<Timestamp>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    completions (completion_key) {
        completion_key -> Text,
        recipe_id -> Text,
        notice -> Bool,
        attempts -> Integer,
        error -> Nullable<Text>,
    }
}

/// Which kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
    Mysql,
}

/// A row of the ledger.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = notifications)]
pub struct Row {
    pub id: i64,
    pub dispatch_id: String,
    pub channel: String,
    pub recipient: Option<String>,
    pub name: String,
    pub message_id: String,
    pub status: String,
    pub attempts: i32,
    pub error: Option<String>,
    pub next_attempt_at: Option<NaiveDateTime>,
    pub sent_at: Option<NaiveDateTime>,
}

impl Row {
    pub fn to(&self) -> &str {
        self.recipient.as_deref().unwrap_or("")
    }

    pub fn reason(&self) -> &str {
        self.error.as_deref().unwrap_or("")
    }
}

/// An accepted message.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = dispatches)]
pub struct Dispatch {
    pub id: String,
    pub message_id: Option<String>,
    pub event_id: Option<i64>,
    pub status: String,
    pub error: Option<String>,
    pub starts: i32,
    pub vain_starts: i32,
    pub ack_proven: bool,
    pub lease_token: Option<String>,
    pub due_at: Option<NaiveDateTime>,
    pub closed_at: Option<NaiveDateTime>,
}

/// A fresh, migrated database that goes with its value.
pub struct TestDatabase {
    kind: Kind,
    /// As `DATABASE_URL` takes it.
    url: String,
    /// As Diesel takes it.
    address: String,
    /// On a server: its URL with the database that is always there, and our database's name.
    server: Option<(String, String)>,
    folder: TempDir,
}

/// Runs the same code on a connection of the kind at hand.
macro_rules! connected {
    ($kind:expr, $address:expr, $conn:ident => $work:expr) => {
        match $kind {
            Kind::Sqlite => {
                let $conn = &mut SqliteConnection::establish($address).unwrap();
                diesel::connection::SimpleConnection::batch_execute($conn, "PRAGMA busy_timeout = 10000")
                    .unwrap();
                $work
            }
            Kind::Postgres => {
                let $conn = &mut PgConnection::establish($address).unwrap();
                $work
            }
            Kind::Mysql => {
                let $conn = &mut MysqlConnection::establish($address).unwrap();
                $work
            }
        }
    };
}

/// The same where the database may be away.
macro_rules! try_connected {
    ($kind:expr, $address:expr, $conn:ident => $work:expr) => {
        match $kind {
            Kind::Sqlite => SqliteConnection::establish($address).ok().and_then(|mut conn| {
                let $conn = &mut conn;
                diesel::connection::SimpleConnection::batch_execute($conn, "PRAGMA busy_timeout = 10000")
                    .ok()?;
                $work.ok()
            }),
            Kind::Postgres => PgConnection::establish($address).ok().and_then(|mut conn| {
                let $conn = &mut conn;
                $work.ok()
            }),
            Kind::Mysql => MysqlConnection::establish($address).ok().and_then(|mut conn| {
                let $conn = &mut conn;
                $work.ok()
            }),
        }
    };
}

impl TestDatabase {
    /// Creates a database and runs `herald migrate` on it.
    pub fn new(kind: Kind) -> Self {
        Self::bare(kind).migrated()
    }

    /// A database of a server or a disk that goes with the test.
    pub fn on_postgres(server: &Postgres) -> Self {
        let name = format!("herald_{}", uuid::Uuid::new_v4().simple());
        run(
            Kind::Postgres,
            &server.url("postgres"),
            &format!("CREATE DATABASE {name}"),
        );
        let url = server.url(&name);
        Self::of(Kind::Postgres, url.clone(), url).migrated()
    }

    /// An `SQLite` file in this folder.
    pub fn in_folder(folder: &Path) -> Self {
        let address = folder.join("herald.db").to_str().unwrap().to_owned();
        Self::of(Kind::Sqlite, format!("sqlite:///{address}"), address).migrated()
    }

    fn of(kind: Kind, url: String, address: String) -> Self {
        let (server, folder) = (None, TempDir::new().unwrap());
        Self {
            kind,
            url,
            address,
            server,
            folder,
        }
    }

    fn migrated(self) -> Self {
        let database = self;
        let migrated = Command::new(env!("CARGO_BIN_EXE_herald"))
            .arg("migrate")
            .current_dir(database.folder.path())
            .env_clear()
            .env("DATABASE_URL", &database.url)
            .env("LOG_FILE", "")
            .output()
            .unwrap();
        assert!(migrated.status.success(), "herald migrate: {migrated:?}");
        database
    }

    /// Creates a database without a table.
    pub fn bare(kind: Kind) -> Self {
        let folder = TempDir::new().unwrap();
        let variable = match kind {
            Kind::Sqlite => {
                let address = folder.path().join("herald.db").to_str().unwrap().to_owned();
                let url = format!("sqlite:///{address}");
                return Self {
                    kind,
                    url,
                    address,
                    server: None,
                    folder,
                };
            }
            Kind::Postgres => "HERALD_TEST_POSTGRES",
            Kind::Mysql => "HERALD_TEST_MYSQL",
        };
        let server = std::env::var(variable)
            .unwrap_or_else(|_| panic!("{variable} must name the test server: see scripts/test"));
        let name = format!("herald_{}", uuid::Uuid::new_v4().simple());
        let mut url: Url = server.parse().unwrap();
        url.set_path(&name);
        let url = String::from(url);
        run(kind, &server, &format!("CREATE DATABASE {name}"));
        let address = url.clone();
        Self {
            kind,
            url,
            address,
            server: Some((server, name)),
            folder,
        }
    }

    pub fn sqlite() -> Self {
        Self::new(Kind::Sqlite)
    }

    pub fn postgres() -> Self {
        Self::new(Kind::Postgres)
    }

    /// Which kind it is, and as what Diesel knows it.
    pub(super) fn known_as(&self) -> (Kind, &str) {
        (self.kind, &self.address)
    }

    /// For a look at it from another task.
    pub fn observer(&self) -> Observer {
        Observer {
            kind: self.kind,
            address: self.address.clone(),
        }
    }

    /// For `DATABASE_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs one statement; how many rows it touched.
    pub fn execute(&self, sql: &str) -> usize {
        run(self.kind, &self.address, sql)
    }

    /// Inserts participants as other systems do: with three columns.
    pub fn add<E: AsRef<str>, N: AsRef<str>>(&self, event: i64, people: &[(E, N)]) {
        use participants::{email, event_id, name, table};
        let values: Vec<_> = people
            .iter()
            .map(|(e, n)| (event_id.eq(event), email.eq(e.as_ref()), name.eq(n.as_ref())))
            .collect();
        connected!(self.kind, &self.address, conn => for values in values.chunks(1000) {
            diesel::insert_into(table).values(values.to_vec()).execute(conn).unwrap();
        });
    }

    /// `person0@example.com` "Person 0" and so on, in one statement a thousand.
    pub fn add_people(&self, event: i64, count: usize) {
        self.add_numbered(event, "person", count);
    }

    /// `<prefix>0@example.com` "Person 0" and so on.
    pub fn add_numbered(&self, event: i64, prefix: &str, count: usize) {
        let people: Vec<_> = (0..count)
            .map(|i| (format!("{prefix}{i}@example.com"), format!("Person {i}")))
            .collect();
        self.add(event, &people);
    }

    /// All notifications in the order of their ids.
    pub fn rows(&self) -> Vec<Row> {
        use notifications::{id, table};
        connected!(self.kind, &self.address, conn => {
            table.order(id).select(Row::as_select()).load(conn).unwrap()
        })
    }

    /// The notification of this recipient.
    pub fn row(&self, recipient: &str) -> Row {
        let rows = self.rows();
        let found = rows.iter().find(|row| row.to() == recipient);
        found
            .unwrap_or_else(|| panic!("nothing for {recipient:?} in {rows:#?}"))
            .clone()
    }

    /// How many notifications have each status.
    pub fn counts(&self) -> BTreeMap<String, i64> {
        use notifications::{status, table};
        let counted: Vec<(String, i64)> = connected!(self.kind, &self.address, conn => {
            table.group_by(status).select((status, diesel::dsl::count_star())).load(conn).unwrap()
        });
        counted.into_iter().collect()
    }

    /// How many notifications have this status.
    pub fn count(&self, status: &str) -> i64 {
        self.counts().get(status).copied().unwrap_or(0)
    }

    /// All dispatches, oldest first.
    pub fn dispatches(&self) -> Vec<Dispatch> {
        use dispatches::{created_at, id, table};
        connected!(self.kind, &self.address, conn => {
            table.order((created_at, id)).select(Dispatch::as_select()).load(conn).unwrap()
        })
    }

    /// The outbox: keys, whether a notice is due, tries, the last error.
    pub fn pending(&self) -> Vec<(String, bool, i32, Option<String>)> {
        use completions::{attempts, completion_key, error, notice, table};
        connected!(self.kind, &self.address, conn => {
            table.order(completion_key).select((completion_key, notice, attempts, error)).load(conn).unwrap()
        })
    }

    /// Waits until the outbox is empty.
    pub async fn wait_completed(&self) {
        until("an empty outbox", Duration::from_mins(1), async || {
            self.pending().is_empty().then_some(())
        })
        .await;
    }

    /// The only dispatch.
    pub fn dispatch(&self) -> Dispatch {
        let mut all = self.dispatches();
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    /// Waits until there are `count` dispatches and each has one of these statuses.
    pub async fn wait_dispatches(&self, count: usize, statuses: &[&str]) -> Vec<Dispatch> {
        let what = format!("{count} dispatches {statuses:?}");
        until(&what, Duration::from_mins(1), async || {
            let all = self.dispatches();
            let done = all
                .iter()
                .filter(|d| statuses.contains(&d.status.as_str()))
                .count();
            (all.len() == count && done == count).then_some(all)
        })
        .await
    }

    /// Waits until the only dispatch is closed.
    pub async fn wait_closed(&self) -> Dispatch {
        let closed = ["completed", "partial", "failed", "cancelled"];
        self.wait_dispatches(1, &closed).await.remove(0)
    }

    /// Waits until so many notifications have this status.
    pub async fn wait_count(&self, status: &str, count: i64) {
        let what = format!("{count} notifications {status}");
        until(&what, Duration::from_mins(1), async || {
            (self.count(status) >= count).then_some(())
        })
        .await;
    }
}

/// Reads the ledger beside a test. A database that cannot be read now gives `None`.
#[derive(Debug, Clone)]
pub struct Observer {
    kind: Kind,
    address: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

impl Observer {
    /// The ids of all `sent` rows.
    pub fn sent(&self) -> Option<BTreeSet<i64>> {
        use notifications::{id, status, table};
        let sent = table.filter(status.eq("sent")).select(id);
        let ids: Vec<i64> = try_connected!(self.kind, &self.address, conn => sent.load(conn))?;
        Some(ids.into_iter().collect())
    }

    /// How many rows of the running dispatch for this `message_id` are open. None of a parked one count:
    /// its message may be acked; nor does one that a sweeper has taken up from there, perhaps before the ack
    /// came by: then whoever runs it has not got the message.
    pub fn open_rows_of(&self, message_id: &str) -> Option<i64> {
        // Ids of tests have no quotes.
        let query = diesel::sql_query(format!(
            "SELECT COUNT(*) AS count FROM notifications n JOIN dispatches d ON d.id = n.dispatch_id \
             WHERE d.message_id = '{message_id}' AND d.status = 'running' AND d.has_delivery AND n.status IN ('pending', 'sending')"
        ));
        let counts: Vec<Count> = try_connected!(self.kind, &self.address, conn => query.load(conn))?;
        counts.first().map(|c| c.count)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Some((server, name)) = &self.server {
            let force = if self.kind == Kind::Postgres {
                " WITH (FORCE)"
            } else {
                ""
            };
            run(self.kind, server, &format!("DROP DATABASE {name}{force}"));
        }
    }
}

fn run(kind: Kind, address: &str, sql: &str) -> usize {
    connected!(kind, address, conn => diesel::sql_query(sql).execute(conn))
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}
