//! Finds a name's addresses, and lets nobody connect to one that was not looked at: what is checked here
//! is what is connected to, so a name that changes its mind gains nothing.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

use super::public::is_public;

/// The system's resolver, behind a check.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resolver {
    /// The operator opened this host: any address will do.
    pub(super) open: bool,
}

/// Why a name is not connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Nobody knows it, now.
    #[error("{name} does not resolve: {reason}")]
    Unresolved { name: String, reason: String },
    /// It leads inside.
    #[error("{name} resolves to {address}, which is not a public address")]
    Private { name: String, address: IpAddr },
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (open, name) = (self.open, name.as_str().to_owned());
        Box::pin(async move {
            // The port is the URL's.
            let found = lookup_host((name.as_str(), 0)).await;
            let found = found.map(Iterator::collect).map_err(|error| error.to_string());
            let addresses = checked(&name, open, found)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// All of `found`, if no single one is refused: a name that points inside as well is not trusted at all.
fn checked(
    name: &str,
    open: bool,
    found: Result<Vec<SocketAddr>, String>,
) -> Result<Vec<SocketAddr>, Refused> {
    let unresolved = |reason| {
        let name = name.to_owned();
        Refused::Unresolved { name, reason }
    };
    let found = found.map_err(unresolved)?;
    if found.is_empty() {
        return Err(unresolved("no address".into()));
    }
    match found.iter().find(|address| !open && !is_public(address.ip())) {
        None => Ok(found),
        Some(address) => Err(Refused::Private {
            name: name.to_owned(),
            address: address.ip(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(&["3.1.2.3:0", "[2600::1]:0"], false, true)]
    #[case(&["3.1.2.3:0", "127.0.0.1:0"], false, false)]
    #[case(&["[::1]:0", "3.1.2.3:0"], false, false)]
    #[case(&["[::ffff:10.0.0.1]:0"], false, false)]
    #[case(&["127.0.0.1:0", "10.0.0.1:0"], true, true)]
    #[case(&[], false, false)]
    #[case(&[], true, false)]
    fn all_or_none(#[case] found: &[&str], #[case] open: bool, #[case] good: bool) {
        let found: Vec<SocketAddr> = found.iter().map(|address| address.parse().unwrap()).collect();
        let checked = checked("hooks.slack.com", open, Ok(found.clone()));
        assert_eq!(checked.ok(), good.then_some(found));
    }

    #[tokio::test]
    async fn localhost() {
        let resolve = async |open| {
            let found = Resolver { open }.resolve("localhost".parse().unwrap()).await;
            found.map(Iterator::count).map_err(|error| error.to_string())
        };
        assert!(resolve(true).await.unwrap() > 0);
        let refused = resolve(false).await.unwrap_err();
        assert!(
            refused.starts_with("localhost resolves to ")
                && refused.ends_with(", which is not a public address"),
            "{refused}"
        );
    }
}
