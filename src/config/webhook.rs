//! Slack's incoming webhooks. The URL is the credential: who knows it can post.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::domain::one_line;

/// The one host that webhooks are at.
const HOST: &str = "hooks.slack.com";

/// Why a text is no webhook that may be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an https://{HOST}/… URL without user, port, query and fragment (SLACK_ALLOW_INSECURE_HOSTS opens further hosts)"
)]
pub struct WebhookError;

/// A webhook that may be posted to: at `hooks.slack.com` over https, or at a host that
/// `SLACK_ALLOW_INSECURE_HOSTS` names.
#[derive(Clone)]
pub struct WebhookUrl {
    url: SecretString,
    host: String,
    insecure: bool,
}

impl WebhookUrl {
    /// Takes what Slack gives, and URLs at one of the `insecure` host names or addresses (lower case).
    pub fn parse(text: &str, insecure: &[String]) -> Result<Self, WebhookError> {
        let url = Url::parse(text.trim()).map_err(|_| WebhookError)?;
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(WebhookError),
        };
        let permitted = insecure.contains(&host);
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.path().len() > 1;
        let slack = url.scheme() == "https" && host == HOST && url.port().is_none();
        let gateway = permitted && matches!(url.scheme(), "http" | "https");
        // What the parser would mend on the way stands for an attempt to mislead a reader.
        let exact = !text.contains(['\\', '@', '\t', '\n', '\r']) && text.is_ascii();
        if !plain || !exact || !(slack || gateway) {
            return Err(WebhookError);
        }
        Ok(Self {
            url: url.to_string().into(),
            host,
            insecure: permitted,
        })
    }

    /// The whole URL: for the request alone.
    pub fn expose(&self) -> &str {
        self.url.expose_secret()
    }

    /// Its host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether the operator opened this host, private addresses and http included.
    pub const fn is_insecure(&self) -> bool {
        self.insecure
    }

    /// Scheme and host, for logs and the API.
    pub fn shown(&self) -> String {
        let scheme = self.expose().split("://").next().unwrap_or_default();
        format!("{scheme}://{}/***", self.host)
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WebhookUrl").field(&self.shown()).finish()
    }
}

/// What [`channel`] takes.
const CHANNEL_TAKES: &str = "a channel such as #data-alerts: 1 to 80 visible characters without <, > and ://";

/// A channel's name or id: one line that cannot be taken for markup, and is no webhook.
pub(crate) fn channel(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits =
        (1..=80).contains(&text.chars().count()) && !text.contains(['<', '>']) && !text.contains("://");
    let clean = fits && one_line(text, 80) == text;
    clean
        .then(|| text.to_owned())
        .ok_or_else(|| CHANNEL_TAKES.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("https://hooks.slack.com/services/T0/B0/x", true)]
    #[case(" https://hooks.slack.com/services/T0/B0/x ", true)]
    #[case("https://HOOKS.slack.com/services/x", true)]
    #[case("https://hooks.slack.com:443/services/x", true)]
    #[case("http://hooks.slack.com/services/x", false)]
    #[case("https://hooks.slack.com", false)]
    #[case("https://hooks.slack.com/", false)]
    #[case("https://hooks.slack.com:8443/services/x", false)]
    #[case("https://hooks.slack.com./services/x", false)]
    #[case("https://hooks.slack.com@evil.test/services/x", false)]
    #[case("https://evil.test@hooks.slack.com/services/x", false)]
    #[case("https://hooks.slack.com\\@evil.test/x", false)]
    #[case("https://evil.test/hooks.slack.com", false)]
    #[case("https://hooks.slack.com.evil.test/x", false)]
    #[case("https://169.254.169.254/latest", false)]
    #[case("http://127.0.0.1:9000/x", false)]
    #[case("https://hooks.slack.com/x?a=b", false)]
    #[case("https://hooks.slack.com/x#a", false)]
    #[case("file:///etc/passwd", false)]
    #[case("ftp://hooks.slack.com/x", false)]
    #[case("https://hooks.slack.com/a\nb", false)]
    #[case("", false)]
    fn webhooks(#[case] text: &str, #[case] good: bool) {
        assert_eq!(WebhookUrl::parse(text, &[]).is_ok(), good);
    }

    #[rstest]
    #[case("http://127.0.0.1:9000/x", true)]
    #[case("https://gateway.test/x", true)]
    #[case("http://[::1]:9000/x", true)]
    #[case("http://127.0.0.2:9000/x", false)]
    #[case("http://hooks.slack.com/x", false)]
    #[case("file://127.0.0.1/x", false)]
    fn opened_hosts(#[case] text: &str, #[case] good: bool) {
        let insecure = ["127.0.0.1", "gateway.test", "::1"].map(str::to_owned);
        assert_eq!(WebhookUrl::parse(text, &insecure).is_ok(), good);
    }

    #[rstest]
    #[case("#data-alerts", true)]
    #[case("C0123ABC", true)]
    #[case("Ünïcode kanal", true)]
    #[case("", false)]
    #[case("  ", false)]
    #[case("a\nb", false)]
    #[case("<!channel>", false)]
    #[case("https://hooks.slack.com/services/T0/B0/x", false)]
    #[case("a\u{202e}b", false)]
    fn channels(#[case] text: &str, #[case] good: bool) {
        assert_eq!(channel(text).is_ok(), good);
        assert!(channel(&"x".repeat(80)).is_ok() && channel(&"x".repeat(81)).is_err());
    }

    #[test]
    fn the_secret_part_is_not_shown() {
        let webhook = WebhookUrl::parse("https://hooks.slack.com/services/T0/B0/s3cret", &[]).unwrap();
        assert_eq!(
            format!("{webhook:?}"),
            "WebhookUrl(\"https://hooks.slack.com/***\")"
        );
    }
}
