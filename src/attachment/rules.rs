//! Where files may come from.

use std::net::IpAddr;

use url::{Host, Url};

use super::error::{Failure, host};
use crate::outside::is_public;

/// The hosts that the operator named.
pub(super) struct Rules {
    /// Lower case.
    pub(super) hosts: Vec<String>,
    /// Any address will do.
    pub(super) open: bool,
}

impl Rules {
    /// Whether `url` may be asked; a redirect's as well. Names are looked at once more when they are resolved.
    pub(super) fn check(&self, url: &Url) -> Result<(), Failure> {
        let refused = |why: String| Err(Failure::ForGood(why));
        let name = host(url);
        if url.scheme() != "https" {
            return refused(format!("{name} is not asked over https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refused("a URL with a user or a password in it is not asked".to_owned());
        }
        let whole = url.host_str().unwrap_or_default();
        let listed = whole.trim_end_matches('.').trim_matches(['[', ']']);
        if !self.hosts.iter().any(|host| host == listed) {
            return refused(format!("{name} is not among ATTACHMENT_HOSTS"));
        }
        let address: Option<IpAddr> = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            _ => None,
        };
        if address.is_some_and(|address| !self.open && !is_public(address)) {
            return refused(format!("{name} is not a public address"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("https://files.example.com/a.pdf?key=s3cret", None)]
    #[case("https://FILES.example.com:8443/a.pdf", None)]
    #[case("https://files.example.com./a.pdf", None)]
    #[case(
        "https://a-bucket-with-a-name-as-long-as-they-may-be-which-is-63-characters.s3.eu-central-1.example.com/a",
        None
    )]
    #[case("https://3.1.2.3/a.pdf", None)]
    #[case("https://[2600::1]/a.pdf", None)]
    #[case("http://files.example.com/a.pdf", Some("https"))]
    #[case("https://example.com/a.pdf", Some("ATTACHMENT_HOSTS"))]
    #[case("https://a.files.example.com/a.pdf", Some("ATTACHMENT_HOSTS"))]
    #[case("https://files.example.com@evil.test/a.pdf", Some("password"))]
    #[case("https://u:p@files.example.com/a.pdf", Some("password"))]
    #[case("https://127.0.0.1/a.pdf", Some("public"))]
    #[case("https://0x7f.1/a.pdf", Some("public"))]
    #[case("https://2130706433/a.pdf", Some("public"))]
    #[case("https://[::1]/a.pdf", Some("public"))]
    #[case("https://[::ffff:127.0.0.1]/a.pdf", Some("public"))]
    #[case("https://169.254.169.254/latest", Some("ATTACHMENT_HOSTS"))]
    fn where_from(#[case] url: &str, #[case] refused: Option<&str>) {
        let hosts = [
            "a-bucket-with-a-name-as-long-as-they-may-be-which-is-63-characters.s3.eu-central-1.example.com",
            "files.example.com",
            "3.1.2.3",
            "2600::1",
            "127.0.0.1",
            "::1",
            "::ffff:7f00:1",
        ];
        let rules = Rules {
            hosts: hosts.map(str::to_owned).to_vec(),
            open: false,
        };
        match (rules.check(&Url::parse(url).unwrap()), refused) {
            (Ok(()), None) => {}
            (Err(Failure::ForGood(why)), Some(word)) => {
                assert!(why.contains(word) && !why.contains("s3cret"), "{why}");
            }
            (other, _) => panic!("{other:?}"),
        }
    }
}
