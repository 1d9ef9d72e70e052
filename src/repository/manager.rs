//! Makes connections to the one database that `DATABASE_URL` names. Diesel's own manager would try the
//! address on each kind in turn, so that a server that is away is reported as an address that is wrong.

use diesel::Connection;
use diesel::r2d2::{Error, ManageConnection, R2D2Connection};
use secrecy::{ExposeSecret, SecretString};

use super::connection::AnyConnection;
use super::error::DbError;
use crate::config::DatabaseTarget;

/// Where connections lead.
#[derive(Clone)]
pub(super) struct Manager {
    address: SecretString,
    connect: fn(&str) -> diesel::ConnectionResult<AnyConnection>,
}

impl Manager {
    /// An error where this build has no support for the database.
    pub(super) fn new(target: &DatabaseTarget) -> Result<Self, DbError> {
        match target {
            #[cfg(feature = "sqlite")]
            DatabaseTarget::Sqlite(path) => {
                let path = path
                    .to_str()
                    .ok_or_else(|| DbError::Fault("the database path is not UTF-8".into()))?;
                Ok(Self {
                    address: path.into(),
                    connect: |path| diesel::SqliteConnection::establish(path).map(AnyConnection::Sqlite),
                })
            }
            #[cfg(feature = "postgres")]
            DatabaseTarget::Postgres(url) => Ok(Self {
                address: url.clone(),
                connect: |url| diesel::PgConnection::establish(url).map(AnyConnection::Postgres),
            }),
            #[cfg(feature = "mysql")]
            DatabaseTarget::Mysql(url) => Ok(Self {
                address: url.clone(),
                connect: |url| diesel::MysqlConnection::establish(url).map(AnyConnection::Mysql),
            }),
            #[cfg(not(feature = "sqlite"))]
            DatabaseTarget::Sqlite(_) => Err(not_built_in()),
            #[cfg(not(feature = "postgres"))]
            DatabaseTarget::Postgres(_) => Err(not_built_in()),
            #[cfg(not(feature = "mysql"))]
            DatabaseTarget::Mysql(_) => Err(not_built_in()),
        }
    }
}

#[cfg(not(all(feature = "sqlite", feature = "postgres", feature = "mysql")))]
fn not_built_in() -> DbError {
    DbError::Fault("this build of herald has no support for the database of DATABASE_URL".into())
}

impl ManageConnection for Manager {
    type Connection = AnyConnection;
    type Error = Error;

    fn connect(&self) -> Result<AnyConnection, Error> {
        (self.connect)(self.address.expose_secret()).map_err(Error::ConnectionError)
    }

    fn is_valid(&self, conn: &mut AnyConnection) -> Result<(), Error> {
        conn.ping().map_err(Error::QueryError)
    }

    fn has_broken(&self, conn: &mut AnyConnection) -> bool {
        std::thread::panicking() || conn.is_broken()
    }
}
