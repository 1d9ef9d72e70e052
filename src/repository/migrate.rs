//! Creating and upgrading the database. The migrations are part of the program.

#[cfg(any(feature = "postgres", feature = "mysql"))]
use diesel::RunQueryDsl;
#[cfg(feature = "sqlite")]
use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::connection::{AnyConnection, Database};
use super::error::DbError;

#[cfg(feature = "sqlite")]
const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
#[cfg(feature = "postgres")]
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");
#[cfg(feature = "mysql")]
const MYSQL: EmbeddedMigrations = embed_migrations!("migrations/mysql");

impl Database {
    /// Brings the schema up to date; returns the names of the migrations that ran. Workers that start at
    /// the same moment take turns.
    pub async fn migrate(&self) -> Result<Vec<String>, DbError> {
        self.read(|conn| {
            let lock = Lock::take(conn)?;
            let ran = match conn {
                #[cfg(feature = "postgres")]
                AnyConnection::Postgres(c) => names(c.run_pending_migrations(POSTGRES)),
                #[cfg(feature = "mysql")]
                AnyConnection::Mysql(c) => names(c.run_pending_migrations(MYSQL)),
                #[cfg(feature = "sqlite")]
                AnyConnection::Sqlite(c) => names(c.run_pending_migrations(SQLITE)),
            };
            lock.release(conn)?;
            ran
        })
        .await
    }

    /// Whether the schema is older than this program.
    pub async fn pending_migrations(&self) -> Result<bool, DbError> {
        self.read(|conn| {
            let pending = match conn {
                #[cfg(feature = "postgres")]
                AnyConnection::Postgres(c) => c.has_pending_migration(POSTGRES),
                #[cfg(feature = "mysql")]
                AnyConnection::Mysql(c) => c.has_pending_migration(MYSQL),
                #[cfg(feature = "sqlite")]
                AnyConnection::Sqlite(c) => c.has_pending_migration(SQLITE),
            };
            pending.map_err(|e| DbError::Fault(format!("the migrations cannot be read: {e}")))
        })
        .await
    }
}

fn names<E: std::fmt::Display>(
    ran: Result<Vec<diesel::migration::MigrationVersion<'_>>, E>,
) -> Result<Vec<String>, DbError> {
    match ran {
        Ok(versions) => Ok(versions.iter().map(ToString::to_string).collect()),
        Err(error) => Err(DbError::Fault(format!("a migration failed: {error}"))),
    }
}

/// Keeps two migrations of one database apart.
enum Lock {
    /// A lock by name in a server.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    Named(&'static str),
    /// A write transaction around it all.
    #[cfg(feature = "sqlite")]
    Transaction,
}

impl Lock {
    fn take(conn: &mut AnyConnection) -> Result<Self, DbError> {
        match conn {
            #[cfg(feature = "postgres")]
            AnyConnection::Postgres(c) => {
                diesel::sql_query("SELECT pg_advisory_lock(4857021991)").execute(c)?;
                Ok(Self::Named("SELECT pg_advisory_unlock(4857021991)"))
            }
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(c) => {
                diesel::sql_query("SELECT GET_LOCK('herald_migrate', 60)").execute(c)?;
                Ok(Self::Named("SELECT RELEASE_LOCK('herald_migrate')"))
            }
            #[cfg(feature = "sqlite")]
            AnyConnection::Sqlite(c) => {
                AnsiTransactionManager::begin_transaction_sql(c, "BEGIN IMMEDIATE")?;
                Ok(Self::Transaction)
            }
        }
    }

    fn release(self, conn: &mut AnyConnection) -> Result<(), DbError> {
        match self {
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            Self::Named(unlock) => {
                diesel::sql_query(unlock).execute(conn)?;
            }
            #[cfg(feature = "sqlite")]
            Self::Transaction => {
                if let Some(c) = super::connection::as_sqlite(conn) {
                    AnsiTransactionManager::commit_transaction(c)?;
                }
            }
        }
        Ok(())
    }
}
