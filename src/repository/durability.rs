//! Whether the database keeps what it committed. The promises of the ledger presume it.

#[cfg(any(feature = "postgres", feature = "mysql"))]
use diesel::prelude::*;

use super::connection::{AnyConnection, Database};
use super::error::DbError;

#[cfg(any(feature = "postgres", feature = "mysql"))]
#[derive(QueryableByName)]
struct Setting {
    #[diesel(sql_type = diesel::sql_types::Text)]
    value: String,
}

impl Database {
    /// A setting that gives up durability for speed, in words; `None` where there is none.
    pub async fn weak_durability(&self) -> Result<Option<String>, DbError> {
        self.read(|conn| match conn {
            #[cfg(feature = "postgres")]
            AnyConnection::Postgres(c) => {
                let names = ["fsync", "synchronous_commit"];
                let mut weak = Vec::new();
                for name in names {
                    let query = format!("SELECT current_setting('{name}') AS value");
                    let setting: Setting = diesel::sql_query(query).get_result(c)?;
                    if setting.value == "off" {
                        weak.push(format!("{name} = off"));
                    }
                }
                Ok((!weak.is_empty()).then(|| weak.join(", ")))
            }
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(c) => {
                let query = "SELECT CAST(@@innodb_flush_log_at_trx_commit AS CHAR) AS value";
                let setting: Setting = diesel::sql_query(query).get_result(c)?;
                Ok((setting.value != "1")
                    .then(|| format!("innodb_flush_log_at_trx_commit = {}", setting.value)))
            }
            // Every connection is opened with synchronous=FULL.
            #[cfg(feature = "sqlite")]
            AnyConnection::Sqlite(_) => Ok(None),
        })
        .await
    }
}
