//! Makes connections of the kind that `DATABASE_URL` names, and of no other: an attempt with each driver
//! in turn would hide why the right one failed.

use diesel::r2d2::{Error, ManageConnection, R2D2Connection};
use diesel::{Connection, ConnectionError};
#[cfg(any(feature = "postgres", feature = "mysql"))]
use secrecy::{ExposeSecret, SecretString};

use super::connection::AnyConnection;
use crate::config::DatabaseTarget;

/// What the pools make connections with.
pub(super) struct Manager(pub(super) DatabaseTarget);

impl Manager {
    fn establish(&self) -> Result<AnyConnection, ConnectionError> {
        match &self.0 {
            #[cfg(feature = "postgres")]
            DatabaseTarget::Postgres(url) => by_url(&with_limits(url)).map(AnyConnection::Postgres),
            #[cfg(feature = "mysql")]
            DatabaseTarget::Mysql(url) => by_url(url).map(AnyConnection::Mysql),
            #[cfg(feature = "sqlite")]
            DatabaseTarget::Sqlite(path) => {
                let path = path.to_str().ok_or_else(|| bad("its path is not UTF-8"))?;
                diesel::SqliteConnection::establish(path).map(AnyConnection::Sqlite)
            }
            #[cfg(not(all(feature = "sqlite", feature = "postgres", feature = "mysql")))]
            _ => Err(bad("this build of herald has no support for it")),
        }
    }
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
fn by_url<C: Connection>(url: &SecretString) -> Result<C, ConnectionError> {
    C::establish(url.expose_secret()).map_err(|error| {
        let text = error.to_string();
        // Of a URL that a driver does not understand it shows parts, which may be the password's.
        if matches!(error, ConnectionError::InvalidConnectionUrl(_))
            || ["URI", "percent-encoded"].iter().any(|word| text.contains(word))
        {
            return bad("its driver does not understand DATABASE_URL");
        }
        error
    })
}

/// A server that vanishes in the middle of an answer must not hold a thread for hours: libpq's own limits
/// are those of TCP. What the URL says itself stands; one that is no plain URL is left as it is.
#[cfg(feature = "postgres")]
fn with_limits(url: &SecretString) -> SecretString {
    const LIMITS: [(&str, &str); 5] = [
        ("connect_timeout", "10"),
        ("keepalives_idle", "10"),
        ("keepalives_interval", "5"),
        ("keepalives_count", "3"),
        ("tcp_user_timeout", "30000"),
    ];
    let Ok(mut parsed) = url::Url::parse(url.expose_secret()) else {
        return url.clone();
    };
    for (name, value) in LIMITS {
        if !parsed.query_pairs().any(|(given, _)| given == name) {
            parsed.query_pairs_mut().append_pair(name, value);
        }
    }
    SecretString::from(String::from(parsed))
}

fn bad(why: &str) -> ConnectionError {
    ConnectionError::BadConnection(why.to_owned())
}

impl ManageConnection for Manager {
    type Connection = AnyConnection;
    type Error = Error;

    fn connect(&self) -> Result<AnyConnection, Error> {
        self.establish().map_err(Error::ConnectionError)
    }

    fn is_valid(&self, conn: &mut AnyConnection) -> Result<(), Error> {
        conn.ping().map_err(Error::QueryError)
    }

    fn has_broken(&self, conn: &mut AnyConnection) -> bool {
        std::thread::panicking() || conn.is_broken()
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use super::*;

    #[test]
    fn limits_are_added_where_none_are_given() {
        let limited = |url: &str| with_limits(&SecretString::from(url)).expose_secret().to_owned();
        let url = limited("postgres://ann:s%20x@db:5433/h?connect_timeout=3&sslmode=require");
        assert!(url.starts_with("postgres://ann:s%20x@db:5433/h?connect_timeout=3&sslmode=require&"));
        assert!(url.ends_with("tcp_user_timeout=30000") && !url.contains("connect_timeout=10"));
        let sockets = "postgres://ann@/h?host=/run/postgresql";
        assert!(limited(sockets).starts_with("postgres://ann@/h"));
    }
}
