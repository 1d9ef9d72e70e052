//! URLs with placeholders.

use std::fmt::Write as _;

use url::Url;

use super::reader::Takes;
use crate::domain::{EmailAddress, EventId};

const TAKES: &str = "an http:// or https:// URL of visible ASCII characters, at most 1000, in whose path or query \
                     {participant_id}, {event_id} and {email} may stand";

/// A valid URL in which `{participant_id}`, `{event_id}` and `{email}` are replaced. Whatever is filled
/// in, the result is an `http` or `https` URL of the same host, in visible ASCII: safe in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlTemplate {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    ParticipantId,
    EventId,
    Email,
}

impl UrlTemplate {
    pub(super) fn parse(s: &str) -> Result<Self, Takes> {
        let plain = s.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"".contains(&b));
        let template = (plain && s.len() <= 1000).then(|| split(s)).flatten();
        let template = Self {
            parts: template.ok_or(TAKES)?,
        };
        let host = |id: &str, email: &str| {
            let url = Url::parse(&template.join(id, id, email)).ok()?;
            let web = matches!(url.scheme(), "http" | "https") && url.username().is_empty();
            web.then(|| (url.host_str().map(str::to_owned), url.port()))
        };
        match (host("1", "a"), host("22", "bb")) {
            (Some(a), Some(b)) if a == b => Ok(template),
            _ => Err(TAKES.to_owned()),
        }
    }

    /// The URL for one participant; what is filled in is percent-encoded.
    pub fn fill(&self, participant_id: i64, event_id: EventId, email: &EmailAddress) -> String {
        self.join(
            &participant_id.to_string(),
            &event_id.to_string(),
            &encode(email.as_str()),
        )
    }

    fn join(&self, participant_id: &str, event_id: &str, email: &str) -> String {
        let mut url = String::new();
        for part in &self.parts {
            url.push_str(match part {
                Part::Text(text) => text,
                Part::ParticipantId => participant_id,
                Part::EventId => event_id,
                Part::Email => email,
            });
        }
        url
    }
}

/// Everything but the unreserved characters of RFC 3986 2.3 as `%XX`.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{b:02X}");
        }
    }
    out
}

fn split(mut rest: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    while let Some(open) = rest.find(['{', '}']) {
        let (text, braced) = rest.split_at(open);
        let (name, after) = braced.strip_prefix('{')?.split_once('}')?;
        parts.push(Part::Text(text.to_owned()));
        parts.push(match name {
            "participant_id" => Part::ParticipantId,
            "event_id" => Part::EventId,
            "email" => Part::Email,
            _ => return None,
        });
        rest = after;
    }
    parts.push(Part::Text(rest.to_owned()));
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn fills_in_encoded() {
        let template =
            UrlTemplate::parse("https://example.com/u/{participant_id}?e={event_id}&m={email}").unwrap();
        let email = "jö+x&y=z@example.com".parse().unwrap();
        assert_eq!(
            template.fill(7, EventId::new(123).unwrap(), &email),
            "https://example.com/u/7?e=123&m=j%C3%B6%2Bx%26y%3Dz%40example.com"
        );
    }

    #[rstest]
    #[case("https://example.com/unsubscribe", true)]
    #[case("http://localhost:8080/{email}", true)]
    #[case("mailto:a@example.com", false)]
    #[case("ftp://example.com/{email}", false)]
    #[case("/u/{participant_id}", false)]
    #[case("https://{email}/", false)]
    #[case("https://example.com{participant_id}/", false)]
    #[case("https://example.com:{event_id}/", false)]
    #[case("https://user@example.com/", false)]
    #[case("https://example.com/{name}", false)]
    #[case("https://example.com/{participant_id", false)]
    #[case("https://example.com/participant_id}", false)]
    #[case("https://example.com/{{email}}", false)]
    #[case("https://example.com/a b", false)]
    #[case("https://example.com/>,<mailto:a", false)]
    #[case("https://example.com/\r\nBcc: x", false)]
    #[case("https://exämple.com/", false)]
    fn templates(#[case] text: &str, #[case] good: bool) {
        assert_eq!(UrlTemplate::parse(text).is_ok(), good);
    }
}
