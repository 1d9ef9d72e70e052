//! How a mailer reaches a server of the tests.

use std::time::Duration;

use herald::config::{RelayConfig, TlsMode};

/// Plain text to a port of this machine, one connection, ten seconds for each reply.
pub fn plain_relay(port: u16) -> RelayConfig {
    RelayConfig {
        host: "localhost".into(),
        port,
        credentials: None,
        tls: TlsMode::None,
        tls_ca: None,
        connections: 1,
        timeout: Duration::from_secs(10),
        rate_limit: 0,
        data_timeout: Duration::from_secs(10),
    }
}
