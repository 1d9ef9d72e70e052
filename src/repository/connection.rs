//! One connection type for three databases, the pools over it, and the only place where a thread blocks on
//! one. SQLite has a single writer; every database keeps one connection for lease beats.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::r2d2::{CustomizeConnection, Pool, PooledConnection};
use diesel::{Connection, RunQueryDsl};
use tokio::sync::Semaphore;

use super::error::DbError;
use super::manager::Manager;
use crate::config::{DatabaseConfig, DatabaseTarget};

/// A connection to whichever database `DATABASE_URL` names.
#[derive(diesel::MultiConnection)]
pub enum AnyConnection {
    /// `postgres://`
    #[cfg(feature = "postgres")]
    Postgres(diesel::PgConnection),
    /// `mysql://`, `mariadb://`
    #[cfg(feature = "mysql")]
    Mysql(diesel::MysqlConnection),
    /// `sqlite://`
    #[cfg(feature = "sqlite")]
    Sqlite(diesel::SqliteConnection),
}

/// How long a thread waits for a free connection before the database counts as gone.
const CHECKOUT: Duration = Duration::from_secs(5);

/// Connections to a server database beside the ones for beats and for the ledger's writer.
const POOL: u32 = 4;

/// Handle to the database: cheap to clone, connects when first used.
#[derive(Clone)]
pub struct Database {
    reads: Gated,
    writes: Gated,
    beats: Gated,
    ledger: Pool<Manager>,
    refused: Arc<Refused>,
}

/// What was written last in vain: a full disk answers and takes nothing.
#[derive(Default)]
struct Refused {
    beats: AtomicBool,
    outcomes: AtomicBool,
}

/// A pool whose callers queue up in order, without blocking a thread each.
#[derive(Clone)]
struct Gated {
    pool: Pool<Manager>,
    gate: Arc<Semaphore>,
}

impl Gated {
    fn new(pool: Pool<Manager>) -> Self {
        let gate = Arc::new(Semaphore::new(pool.max_size() as usize));
        Self { pool, gate }
    }
}

impl Database {
    /// Prepares the pools; no connection is made yet, so this works while the database is away.
    pub fn new(config: &DatabaseConfig) -> Result<Self, DbError> {
        check_target(&config.target)?;
        let threads = Arc::new(r2d2_threads());
        let pool = |size: u32| {
            Pool::builder()
                .max_size(size)
                .min_idle(Some(0))
                .connection_timeout(CHECKOUT)
                .test_on_check_out(!matches!(config.target, DatabaseTarget::Sqlite(_)))
                .connection_customizer(Box::new(Prepare { echo: config.echo }))
                .thread_pool(Arc::clone(&threads))
                .error_handler(Box::new(QuietErrors))
                .build_unchecked(Manager(config.target.clone()))
        };
        let is_sqlite = matches!(config.target, DatabaseTarget::Sqlite(_));
        let writes = Gated::new(pool(if is_sqlite { 1 } else { POOL }));
        Ok(Self {
            reads: if is_sqlite {
                Gated::new(pool(POOL))
            } else {
                writes.clone()
            },
            ledger: if is_sqlite { writes.pool.clone() } else { pool(1) },
            beats: Gated::new(pool(1)),
            writes,
            refused: Arc::default(),
        })
    }

    /// Runs `question` on a reading connection, off the asynchronous threads.
    pub async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut AnyConnection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        blocking(&self.reads, question).await
    }

    /// Runs `change` in one transaction.
    pub async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut AnyConnection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        blocking(&self.writes, |conn| transaction(conn, change)).await
    }

    /// Runs `change` in one transaction on the connection that is reserved for beats (rule R1).
    pub async fn beat<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut AnyConnection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        let beaten = blocking(&self.beats, |conn| transaction(conn, change)).await;
        self.refused.beats.store(in_vain(&beaten), Ordering::Relaxed);
        beaten
    }

    /// There is no lease left to beat for.
    pub fn no_beats(&self) {
        self.refused.beats.store(false, Ordering::Relaxed);
    }

    /// Runs `change` in one transaction on the calling thread: that of the ledger's writer.
    pub(super) fn write_here<T>(
        &self,
        change: impl FnOnce(&mut AnyConnection) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        let written = checkout(&self.ledger).and_then(|mut conn| transaction(&mut conn, change));
        self.refused.outcomes.store(in_vain(&written), Ordering::Relaxed);
        written
    }

    /// Whether the database answers, and took the last beat and the last outcomes.
    pub async fn ping(&self) -> Result<(), DbError> {
        self.read(|conn| {
            diesel::sql_query("SELECT 1").execute(conn)?;
            Ok(())
        })
        .await?;
        if self.refused.beats.load(Ordering::Relaxed) || self.refused.outcomes.load(Ordering::Relaxed) {
            return Err(DbError::Unavailable("it does not take what is written".into()));
        }
        Ok(())
    }
}

/// A conflict passes by itself.
fn in_vain<T>(written: &Result<T, DbError>) -> bool {
    written.as_ref().is_err_and(|error| !error.is_conflict())
}

async fn blocking<T: Send + 'static>(
    to: &Gated,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, DbError> + Send + 'static,
) -> Result<T, DbError> {
    let gone = || DbError::Fault("the database was closed".into());
    let turn = Arc::clone(&to.gate).acquire_owned().await.map_err(|_| gone())?;
    let pool = to.pool.clone();
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work(&mut *checkout(&pool)?)
    })
    .await
    .map_err(|e| DbError::Fault(format!("a database task ended early: {e}")))?
}

fn checkout(pool: &Pool<Manager>) -> Result<PooledConnection<Manager>, DbError> {
    pool.get().map_err(|e| DbError::unavailable(&e))
}

/// SQLite takes the write lock at once: a read that turns into a write would get BUSY.
fn transaction<T>(
    conn: &mut AnyConnection,
    change: impl FnOnce(&mut AnyConnection) -> Result<T, DbError>,
) -> Result<T, DbError> {
    #[cfg(feature = "sqlite")]
    if matches!(conn, AnyConnection::Sqlite(_)) {
        return immediate(conn, change);
    }
    conn.transaction(change)
}

/// `BEGIN IMMEDIATE` through the enum, which has no call of its own for it.
#[cfg(feature = "sqlite")]
fn immediate<T>(
    conn: &mut AnyConnection,
    change: impl FnOnce(&mut AnyConnection) -> Result<T, DbError>,
) -> Result<T, DbError> {
    use diesel::connection::{AnsiTransactionManager, TransactionManager};
    if let Some(sqlite) = as_sqlite(conn) {
        AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN IMMEDIATE")?;
    }
    let end = |conn: &mut AnyConnection, commit: bool| -> Result<(), DbError> {
        if let Some(sqlite) = as_sqlite(conn) {
            if commit {
                AnsiTransactionManager::commit_transaction(sqlite)?;
            } else {
                AnsiTransactionManager::rollback_transaction(sqlite)?;
            }
        }
        Ok(())
    };
    match change(conn) {
        Ok(value) => end(conn, true).map(|()| value),
        Err(error) => {
            end(conn, false)?;
            Err(error)
        }
    }
}

/// The SQLite connection within, in whatever set of databases this build has.
#[cfg(feature = "sqlite")]
#[cfg_attr(
    not(any(feature = "postgres", feature = "mysql")),
    expect(clippy::unnecessary_wraps, reason = "there are builds with other databases")
)]
pub(super) fn as_sqlite(conn: &mut AnyConnection) -> Option<&mut diesel::SqliteConnection> {
    match conn {
        #[cfg(feature = "postgres")]
        AnyConnection::Postgres(_) => None,
        #[cfg(feature = "mysql")]
        AnyConnection::Mysql(_) => None,
        AnyConnection::Sqlite(sqlite) => Some(sqlite),
    }
}

/// What no waiting would mend.
fn check_target(target: &DatabaseTarget) -> Result<(), DbError> {
    if matches!(target, DatabaseTarget::Sqlite(path) if path.to_str().is_none()) {
        return Err(DbError::Fault("the database path is not UTF-8".into()));
    }
    let missing = match target {
        DatabaseTarget::Sqlite(_) => !cfg!(feature = "sqlite"),
        DatabaseTarget::Postgres(_) => !cfg!(feature = "postgres"),
        DatabaseTarget::Mysql(_) => !cfg!(feature = "mysql"),
    };
    if missing {
        return Err(DbError::Fault(
            "this build of herald has no support for the database of DATABASE_URL".into(),
        ));
    }
    Ok(())
}

fn r2d2_threads() -> scheduled_thread_pool::ScheduledThreadPool {
    scheduled_thread_pool::ScheduledThreadPool::builder()
        .num_threads(1)
        .thread_name_pattern("herald-pool-{}")
        .build()
}

/// Pool errors come back from `checkout`; the pool's own log lines would repeat them (and show URLs).
#[derive(Debug)]
struct QuietErrors;

impl<E> diesel::r2d2::HandleError<E> for QuietErrors {
    fn handle_error(&self, _: E) {}
}

/// What each fresh connection is told.
#[derive(Debug)]
struct Prepare {
    echo: bool,
}

impl CustomizeConnection<AnyConnection, diesel::r2d2::Error> for Prepare {
    fn on_acquire(&self, conn: &mut AnyConnection) -> Result<(), diesel::r2d2::Error> {
        if self.echo {
            conn.set_instrumentation(super::echo::log_statement);
        }
        // One that is frozen in a transaction must not keep its locks from others.
        let setup = match conn {
            // A relaxed setting would make `sent` a guess after a power cut.
            #[cfg(feature = "sqlite")]
            AnyConnection::Sqlite(_) => {
                "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
            }
            #[cfg(feature = "postgres")]
            AnyConnection::Postgres(_) => {
                "SET TIME ZONE 'UTC'; SET statement_timeout = '60s'; \
                 SET idle_in_transaction_session_timeout = '5s';"
            }
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(_) => {
                // The comment is MariaDB's: MySQL has no such variable.
                "SET time_zone = '+00:00' /*M! , idle_transaction_timeout = 5 */; \
                 SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;"
            }
        };
        conn.batch_execute(setup).map_err(diesel::r2d2::Error::QueryError)
    }
}
