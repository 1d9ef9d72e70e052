//! Where a web page comes from, as browsers say it (RFC 6454 7).

use url::Url;

/// `scheme://host[:port]` in one way of writing it: lower case, no port that goes without saying. `None`: it is
/// no origin of a web page.
pub fn origin(text: &str) -> Option<String> {
    let url: Url = text.parse().ok()?;
    let plain =
        url.path() == "/" && !text.ends_with('/') && url.query().is_none() && url.fragment().is_none();
    let nobody = url.username().is_empty() && url.password().is_none();
    let known = matches!(url.scheme(), "http" | "https");
    (plain && nobody && known).then(|| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("https://Gateway.example.com:443", Some("https://gateway.example.com"))]
    #[case("http://10.0.0.7:8080", Some("http://10.0.0.7:8080"))]
    #[case("http://[::1]:80", Some("http://[::1]"))]
    #[case("http://localhost:443", Some("http://localhost:443"))]
    #[case("https://example.com/", None)]
    #[case("https://example.com/a", None)]
    #[case("https://example.com?a", None)]
    #[case("https://u@example.com", None)]
    #[case("file:///etc", None)]
    #[case("null", None)]
    #[case("*", None)]
    #[case("example.com", None)]
    fn origins(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(origin(text).as_deref(), expected);
    }
}
