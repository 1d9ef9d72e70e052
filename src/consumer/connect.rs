//! One connection to the broker.

use std::time::Duration;

use lapin::types::ShortString;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use secrecy::{ExposeSecret, SecretString};

use super::error::{BrokerError, within};

/// For a connection, TLS and login included.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// For an orderly close.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// What is proposed where the URL says nothing, in seconds: a silent peer is given up after two of them.
const HEARTBEAT: u16 = 30;

/// Connects and logs in. lapin's own recovery stays off: it would make acks of an old connection look
/// like acks of the new one.
pub(super) async fn connect(url: &SecretString) -> Result<Connection, BrokerError> {
    let mut uri: AMQPUri = url.expose_secret().parse().map_err(|_| BrokerError::Address)?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    let password = uri.authority.userinfo.password.clone();
    let known = uri.authority.userinfo.username == password; // `guest` in a reply is the user's name
    let properties = ConnectionProperties::default().with_connection_name("herald".into());
    within(CONNECT_LIMIT, Connection::connect_uri(uri, properties))
        .await
        .map_err(|e| if known { e } else { e.without(&password) })
}

/// Closes in order, as far as the peer still answers.
pub(super) async fn close(connection: &Connection) {
    let farewell = connection.close(200, "OK".into());
    let _ = within(CLOSE_LIMIT, farewell).await;
}

/// A name as AMQP takes it; the library's own conversion panics on long ones.
pub(super) fn short(what: &'static str, text: &str) -> Result<ShortString, BrokerError> {
    ShortString::try_new(text).map_err(|_| BrokerError::TooLong(what))
}
