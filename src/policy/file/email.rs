//! The section `email`.

use super::keys::Keys;
use crate::config::{MAX_ADDRESSES, OwnRelay, SUBMISSIONS, TlsMode, host, is_loopback};
use crate::domain::{DisplayName, EmailAddress};
use crate::policy::EmailSettings;

/// Longest name and password, in bytes: far below what a command line of SMTP bears.
const MAX_CREDENTIAL: usize = 1_000;

pub(super) fn email(mut keys: Keys<'_>) -> EmailSettings {
    let enabled = keys.boolean("enabled").unwrap_or(true);
    let relay = relay(&mut keys);
    let from = keys.parsed("from_email", address);
    let from_name = keys.parsed("from_name", name);
    let mut to = Vec::new();
    for address in keys.list("to_emails", MAX_ADDRESSES, address).unwrap_or_default() {
        push_once(&mut to, address);
    }
    let mut cc = Vec::new();
    for address in keys.list("cc_emails", MAX_ADDRESSES, address).unwrap_or_default() {
        if !to.contains(&address) {
            push_once(&mut cc, address);
        }
    }
    keys.finish();
    EmailSettings {
        enabled,
        relay,
        from,
        from_name,
        to,
        cc,
    }
}

fn push_once(list: &mut Vec<EmailAddress>, address: EmailAddress) {
    if !list.contains(&address) {
        list.push(address);
    }
}

/// With a host none of the environment's relay applies, without one all of it.
fn relay(keys: &mut Keys<'_>) -> Option<OwnRelay> {
    let has_host = keys.has("smtp_host");
    let (has_user, has_password) = (keys.has("smtp_username"), keys.has("smtp_password"));
    if !has_host {
        for name in ["smtp_port", "smtp_username", "smtp_password", "smtp_use_tls"] {
            if keys.has(name) {
                keys.problem(
                    name,
                    "has no meaning here: without email.smtp_host the environment's relay applies whole",
                );
            }
        }
    } else if has_user != has_password {
        let (missing, given) = if has_user {
            ("smtp_password", "smtp_username")
        } else {
            ("smtp_username", "smtp_password")
        };
        keys.problem(
            missing,
            format!("is missing: it has to be there where email.{given} is"),
        );
    }
    // Some write a whole URL there, password included.
    let host = keys.secret("smtp_host", host);
    let port = keys.integer("smtp_port", 1..=u32::from(u16::MAX));
    let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(587);
    let user = keys.secret("smtp_username", credential);
    let password = keys.secret("smtp_password", credential);
    let tls = match (keys.boolean("smtp_use_tls").unwrap_or(true), port) {
        (false, _) => TlsMode::None,
        (true, SUBMISSIONS) => TlsMode::Implicit,
        (true, _) => TlsMode::StartTls,
    };
    let host = host?;
    if has_password && tls == TlsMode::None && !is_loopback(&host) {
        keys.problem(
            "smtp_use_tls",
            "has to be true where email.smtp_password is set, unless email.smtp_host is loopback: credentials \
             never travel in plain text",
        );
    }
    Some(OwnRelay {
        host,
        port,
        credentials: user.zip(password.map(Into::into)),
        tls,
    })
}

fn address(text: &str) -> Result<EmailAddress, String> {
    text.parse().map_err(|e| format!("an e-mail address ({e})"))
}

fn credential(text: &str) -> Result<String, String> {
    let fits = (1..=MAX_CREDENTIAL).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned()).ok_or_else(|| {
        format!("1 to {MAX_CREDENTIAL} bytes without line breaks and other control characters")
    })
}

/// Refused rather than cleaned: who put a line break there meant something else than a name.
fn name(text: &str) -> Result<DisplayName, String> {
    let fits = text.chars().count() <= 120 && !text.chars().any(is_break);
    fits.then(|| DisplayName::clean(text)).ok_or_else(|| {
        "a name of at most 120 characters without line breaks and other control characters".to_owned()
    })
}

fn is_break(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}
