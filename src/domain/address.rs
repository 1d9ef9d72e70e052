//! Mailbox addresses. One that exists can stand in an SMTP command and a header as it is.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Why a text is no mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing there.
    #[error("the address is empty")]
    Empty,
    /// No `@`.
    #[error("the address has no @")]
    NoAt,
    /// A control character, a line break among them.
    #[error("the address contains a control character")]
    Control,
    /// RFC 5321 4.5.3.1: 64 octets before the `@`, 254 in all.
    #[error("the address is too long (64 octets before the @, 254 in all)")]
    TooLong,
    /// Not a dot-string and not a quoted string (RFC 5321 4.1.2, RFC 6531 3.3).
    #[error("the part before the @ is not a mailbox name")]
    Local,
    /// Not a domain name and not an address literal.
    #[error("the part after the @ is not a domain name")]
    Domain,
}

/// A valid mailbox: local part exactly as given, domain as lower-case A-label (RFC 5890) or address
/// literal. Two that are equal are the same recipient.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EmailAddress {
    text: String,
    at: usize,
}

impl EmailAddress {
    /// The part before the `@`.
    pub fn local(&self) -> &str {
        &self.text[..self.at]
    }

    /// The part after the `@`, ASCII.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a relay has to offer SMTPUTF8 (RFC 6531) to take it.
    pub fn needs_smtputf8(&self) -> bool {
        !self.text.is_ascii()
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for EmailAddress {
    type Err = AddressError;

    /// Surrounding spaces are dropped; everything else has to be right.
    fn from_str(s: &str) -> Result<Self, AddressError> {
        let s = s.trim_matches([' ', '\t']);
        if s.is_empty() {
            return Err(AddressError::Empty);
        }
        if s.chars().any(is_hidden) {
            return Err(AddressError::Control);
        }
        let at = s.rfind('@').ok_or(AddressError::NoAt)?;
        let (local, domain) = (&s[..at], &s[at + 1..]);
        if local.len() > 64 || domain.len() > 1000 {
            return Err(AddressError::TooLong);
        }
        if !is_dot_string(local) && !is_quoted_string(local) {
            return Err(AddressError::Local);
        }
        let text = format!("{local}@{}", ascii_domain(domain).ok_or(AddressError::Domain)?);
        if text.len() > 254 {
            return Err(AddressError::TooLong);
        }
        Ok(Self { text, at })
    }
}

/// Control characters, and those that only change how the text around them is shown.
fn is_hidden(c: char) -> bool {
    c.is_control() || super::text::is_format_control(c)
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_whitespace())
}

fn is_dot_string(local: &str) -> bool {
    local
        .split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn is_quoted_string(local: &str) -> bool {
    let Some(inner) = local.strip_prefix('"').and_then(|l| l.strip_suffix('"')) else {
        return false;
    };
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let fine = match c {
            '"' => false,
            '\\' => chars.next().is_some_and(|c| (' '..='~').contains(&c)),
            _ => true,
        };
        if !fine {
            return false;
        }
    }
    true
}

fn ascii_domain(domain: &str) -> Option<String> {
    if let Some(literal) = domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')) {
        let v6 = literal
            .strip_prefix("IPv6:")
            .map(|l| l.parse::<Ipv6Addr>().is_ok());
        let valid = v6.unwrap_or_else(|| literal.parse::<Ipv4Addr>().is_ok());
        return valid.then(|| domain.to_owned());
    }
    let ascii = idna::domain_to_ascii_strict(domain).ok()?;
    let labels_fit = ascii.split('.').all(|l| (1..=63).contains(&l.len()));
    (labels_fit && ascii.len() <= 253).then_some(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("ann@example.com", "ann@example.com")]
    #[case(" ann@example.com ", "ann@example.com")]
    #[case("Ann.O'Hara+x@EXAMPLE.com", "Ann.O'Hara+x@example.com")]
    #[case("jörg@bücher.example", "jörg@xn--bcher-kva.example")]
    #[case("root@localhost", "root@localhost")]
    #[case("a@[127.0.0.1]", "a@[127.0.0.1]")]
    #[case("a@[IPv6:::1]", "a@[IPv6:::1]")]
    #[case(r#""a b"@example.com"#, r#""a b"@example.com"#)]
    #[case(r#""a\"@b"@example.com"#, r#""a\"@b"@example.com"#)]
    fn mailboxes(#[case] given: &str, #[case] kept: &str) {
        assert_eq!(
            given.parse::<EmailAddress>().map(|a| a.to_string()),
            Ok(kept.to_owned())
        );
    }

    #[rstest]
    #[case("", AddressError::Empty)]
    #[case("ann", AddressError::NoAt)]
    #[case("@example.com", AddressError::Local)]
    #[case("ann@", AddressError::Domain)]
    #[case("ann@exa mple.com", AddressError::Domain)]
    #[case("ann@-example.com", AddressError::Domain)]
    #[case("ann@a..b", AddressError::Domain)]
    #[case("a..b@example.com", AddressError::Local)]
    #[case(".a@example.com", AddressError::Local)]
    #[case("a b@example.com", AddressError::Local)]
    #[case("Ann <ann@example.com>", AddressError::Local)]
    #[case("ann@example.com>", AddressError::Domain)]
    #[case("ann@example.com,bob@example.com", AddressError::Local)]
    #[case("ann@example.com\r\nRCPT TO:<bob@example.com>", AddressError::Control)]
    #[case("ann\0@example.com", AddressError::Control)]
    #[case("ann\u{202e}@example.com", AddressError::Control)]
    #[case(r#""a"b"@example.com"#, AddressError::Local)]
    #[case(r#""a\"@example.com"#, AddressError::Local)]
    #[case("a@[127.0.0.1", AddressError::Domain)]
    fn no_mailboxes(#[case] given: &str, #[case] why: AddressError) {
        assert_eq!(given.parse::<EmailAddress>(), Err(why));
    }

    #[test]
    fn lengths() {
        assert!(
            format!("{}@example.com", "a".repeat(64))
                .parse::<EmailAddress>()
                .is_ok()
        );
        let long = format!("{}@example.com", "a".repeat(65));
        assert_eq!(long.parse::<EmailAddress>(), Err(AddressError::TooLong));
        let long = format!("a@{}com", "abcdefghi.".repeat(26));
        assert!(long.parse::<EmailAddress>().is_err());
    }

    proptest! {
        #[test]
        fn never_breaks_a_command(s in ".{0,80}|[a-z\"\\\\@. ]{0,20}@[a-z.]{1,10}") {
            if let Ok(address) = s.parse::<EmailAddress>() {
                prop_assert!(!address.as_str().chars().any(char::is_control));
                prop_assert!(address.domain().is_ascii());
                prop_assert!(address.as_str().len() <= 254);
                prop_assert_eq!(address.as_str().parse::<EmailAddress>(), Ok(address.clone()));
            }
        }
    }
}
