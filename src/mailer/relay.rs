//! One relay, prepared once: TLS parameters loaded, credentials checked against the way they travel.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::conversation::Conversation;
use super::fault::{Fault, FaultCause, Phase};
use super::tls::{self, TlsError};
use super::wire::{Wire, within};
use crate::config::{RelayConfig, TlsMode};

/// Why a relay cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum RelayConfigError {
    /// A password would travel in plain text.
    #[error("SMTP_USERNAME: a password is sent only over TLS unless the host is loopback: set SMTP_USE_TLS")]
    PlainCredentials,
    /// The host is neither a DNS name nor an address.
    #[error("SMTP_HOST: `{0}` is neither a DNS name nor an IP address")]
    Host(String),
    /// The certificates to trust.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A relay to which conversations can be opened. Cheap to share in an `Arc`.
pub struct Relay {
    pub(super) config: RelayConfig,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    host: String,
    own_name: Option<String>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Relay").field(&self.shown()).finish()
    }
}

impl Relay {
    /// Prepares a relay. Reads the certificates to trust, so not for the middle of async work.
    pub fn new(config: &RelayConfig) -> Result<Self, RelayConfigError> {
        let host = config
            .host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let plain = config.tls == TlsMode::None;
        if plain && config.credentials.is_some() && !is_loopback(&host) {
            return Err(RelayConfigError::PlainCredentials);
        }
        let tls = if plain {
            None
        } else {
            let name =
                ServerName::try_from(host.clone()).map_err(|_| RelayConfigError::Host(host.clone()))?;
            Some((tls::connector(config.tls_ca.as_deref())?, name))
        };
        Ok(Self {
            config: config.clone(),
            tls,
            host,
            own_name: own_name(),
        })
    }

    /// `host:port`, for logs.
    pub fn shown(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.config.port)
        } else {
            format!("{}:{}", self.host, self.config.port)
        }
    }

    /// Opens a conversation up to the point where MAIL may follow: connected, greeted, encrypted and
    /// authenticated as configured.
    pub async fn connect(&self) -> Result<Conversation, Fault> {
        let limit = self.config.timeout;
        let tcp = self
            .reach()
            .await
            .map_err(|cause| Fault::new(Phase::Connect, cause))?;
        let mut wire = Wire::new(tcp).map_err(|cause| Fault::new(Phase::Connect, cause))?;
        if self.config.tls == TlsMode::Implicit {
            wire = self.encrypt(wire).await?;
        }
        greeting(&mut wire, limit).await?;
        let own_name = self.client_id(&wire);
        let mut conversation = Conversation::open(wire, &self.config, &own_name).await?;
        if self.config.tls == TlsMode::StartTls {
            let wire = conversation.start_tls().await?;
            let wire = self.encrypt(wire).await?;
            conversation = Conversation::open(wire, &self.config, &own_name).await?;
        }
        if let Some((user, password)) = &self.config.credentials {
            conversation.authenticate(user, password).await?;
        }
        Ok(conversation)
    }

    /// Tries each address of the host in turn; the last failure is reported.
    async fn reach(&self) -> Result<TcpStream, FaultCause> {
        let limit = self.config.timeout;
        let addresses = within(limit, async {
            let found = lookup_host((self.host.as_str(), self.config.port)).await;
            found
                .map(Iterator::collect::<Vec<SocketAddr>>)
                .map_err(|error| FaultCause::Unresolved(error.to_string()))
        })
        .await?;
        let mut last = FaultCause::Unresolved("no address".into());
        for address in addresses {
            let connecting = async {
                let stream = TcpStream::connect(address).await;
                stream.map_err(|error| FaultCause::Io(error.to_string()))
            };
            match within(limit, connecting).await {
                Ok(stream) => return Ok(stream),
                Err(cause) => last = cause,
            }
        }
        Err(last)
    }

    async fn encrypt(&self, wire: Wire) -> Result<Wire, Fault> {
        let Some((connector, name)) = &self.tls else {
            return Err(Fault::new(Phase::Tls, FaultCause::Tls("not prepared".into())));
        };
        within(self.config.timeout, wire.encrypt(connector, name.clone()))
            .await
            .map_err(|cause| Fault::new(Phase::Tls, cause))
    }

    /// The name for EHLO: our own if it is a full one, else the address we come from (RFC 5321 4.1.4).
    fn client_id(&self, wire: &Wire) -> ClientId {
        match (
            &self.own_name,
            wire.local_addr().map(|local| local.ip().to_canonical()),
        ) {
            (Some(name), _) => ClientId::Domain(name.clone()),
            (None, Ok(IpAddr::V4(address))) => ClientId::Ipv4(address),
            (None, Ok(IpAddr::V6(address))) => ClientId::Ipv6(address),
            (None, Err(_)) => ClientId::default(),
        }
    }
}

async fn greeting(wire: &mut Wire, limit: std::time::Duration) -> Result<(), Fault> {
    let fault = |cause| Fault::new(Phase::Greeting, cause);
    let reply = wire.reply(limit).await.map_err(fault)?.reply();
    match reply.code / 100 {
        2 => Ok(()),
        3 => Err(fault(FaultCause::Protocol(format!("unexpected reply {reply}")))),
        _ => Err(fault(FaultCause::Reply(reply))),
    }
}

/// Whether what is sent to `host` stays on this machine.
fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

/// This machine's name, if it is a full one.
fn own_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    full_name(name.trim())
}

fn full_name(name: &str) -> Option<String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = name.rsplit('.').next()?.bytes().all(|b| b.is_ascii_digit());
    let full = name.len() <= 253 && name.contains('.') && name.split('.').all(label) && !numeric;
    full.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("localhost", true)]
    #[case("LOCALHOST.", true)]
    #[case("relay.localhost", true)]
    #[case("127.0.0.2", true)]
    #[case("::1", true)]
    #[case("::ffff:127.0.0.1", true)]
    #[case("localhost.example.com", false)]
    #[case("10.0.0.1", false)]
    #[case("relay", false)]
    fn loopback(#[case] host: &str, #[case] local: bool) {
        assert_eq!(is_loopback(host), local);
    }

    #[rstest]
    #[case("mail.example.com", true)]
    #[case("mail", false)]
    #[case("mail.example.", false)]
    #[case("10.0.0.1", false)]
    #[case("a b.example.com", false)]
    #[case("x\r\n.example.com", false)]
    #[case("", false)]
    fn names_for_ehlo(#[case] name: &str, #[case] fits: bool) {
        assert_eq!(full_name(name).is_some(), fits);
    }
}
