//! Received e-mails, parsed by a library that had no part in making them.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use mailparse::{MailHeaderMap as _, addrparse_header, parse_mail};

use super::smtp::Message;

/// The headers of every e-mail, sorted.
pub const HEADERS: [&str; 9] = [
    "Auto-Submitted",
    "Content-Type",
    "Date",
    "From",
    "MIME-Version",
    "Message-ID",
    "Reply-To",
    "Subject",
    "To",
];

/// What stands in an e-mail.
#[derive(Debug)]
pub struct Mail {
    /// Names of its headers, sorted.
    pub names: Vec<String>,
    pub subject: String,
    /// Without angle brackets.
    pub message_id: String,
    /// The only address of To.
    pub to: String,
    pub to_name: Option<String>,
    /// Types of the whole and of its parts.
    pub kinds: Vec<String>,
    pub text: String,
    pub html: String,
}

impl Mail {
    pub fn parse(message: &Message) -> Self {
        let mail = parse_mail(&message.raw).unwrap();
        let mut names: Vec<_> = mail.headers.iter().map(mailparse::MailHeader::get_key).collect();
        names.sort();
        let header = |name: &str| mail.headers.get_first_value(name).unwrap();
        let to = addrparse_header(mail.headers.get_first_header("To").unwrap()).unwrap();
        let to = to.extract_single_info().expect("one address in To");
        let body = |n: usize| mail.subparts[n].get_body().unwrap().replace("\r\n", "\n");
        let parts = mail.subparts.iter().map(|part| part.ctype.mimetype.clone());
        Self {
            names,
            subject: header("Subject"),
            message_id: header("Message-ID").trim_matches(['<', '>']).to_owned(),
            to: to.addr,
            to_name: to.display_name,
            kinds: std::iter::once(mail.ctype.mimetype.clone())
                .chain(parts)
                .collect(),
            text: body(0),
            html: body(1),
        }
    }
}
