//! Whose page may open a WebSocket or change something. Browsers let any page try, and say whose it is: a page of
//! another origin would act with what the reader may do here. Programs say nothing, and a page of this very address is at home.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

use crate::config::origin;

/// Whether the page that asks, if it is one, may.
pub(super) fn is_welcome(headers: &HeaderMap, allowed: &[String]) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(given) = origins.next() else { return true };
    let given = given.to_str().ok().and_then(origin);
    let (Some(given), None) = (given, origins.next()) else {
        return false;
    };
    allowed.contains(&given) || is_home(headers, &given)
}

/// The page came from the address that is asked now, by whatever scheme: a TLS proxy may be in front.
fn is_home(headers: &HeaderMap, given: &str) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let scheme = given.split("://").next().unwrap_or_default();
    host.and_then(|host| origin(&format!("{scheme}://{host}")))
        .as_deref()
        == Some(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(None, "h:1", true)]
    #[case(Some("http://h:1"), "h:1", true)]
    #[case(Some("http://H:1"), "h:1", true)]
    #[case(Some("https://h"), "h", true)]
    #[case(Some("https://h"), "h:443", true)]
    #[case(Some("http://h"), "h:443", false)]
    #[case(Some("http://h:2"), "h:1", false)]
    #[case(Some("http://h.evil.example:1"), "h:1", false)]
    #[case(Some("https://gateway.example"), "h:1", true)]
    #[case(Some("http://gateway.example"), "h:1", false)]
    #[case(Some("null"), "h:1", false)]
    #[case(Some(""), "h:1", false)]
    fn pages(#[case] given: Option<&str>, #[case] host: &str, #[case] welcome: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(given) = given {
            headers.insert(ORIGIN, given.parse().unwrap());
        }
        assert_eq!(
            is_welcome(&headers, &["https://gateway.example".to_owned()]),
            welcome
        );
    }
}
