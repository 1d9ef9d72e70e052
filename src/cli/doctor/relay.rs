//! A relay, as far as AUTH: nothing is mailed.

use super::Finding;
use crate::config::{Config, RelayConfig, TlsMode};
use crate::mailer::Relay;

pub(super) async fn check(config: &Config, relay: &RelayConfig) -> Finding {
    if config.email.dummy {
        return Ok("dummy mode: no relay is used".into());
    }
    let tls = match relay.tls {
        TlsMode::None => "plain text",
        TlsMode::StartTls => "STARTTLS",
        TlsMode::Implicit => "TLS",
    };
    let auth = if relay.credentials.is_some() {
        "AUTH accepted"
    } else {
        "no AUTH"
    };
    let relay = Relay::new(relay).map_err(|e| e.to_string())?;
    let shown = relay.shown();
    let conversation = relay
        .connect()
        .await
        .map_err(|fault| format!("{shown}: {fault}"))?;
    conversation.quit().await;
    Ok(format!("{shown} greets, {tls}, {auth}"))
}
