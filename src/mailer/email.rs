//! Puts a rendered notification together as an e-mail; what a dispatch's e-mails share is built once.
//!
//! The same draft gives the same bytes, so a later copy is recognised. What comes out has no bare CR or
//! LF and no line above 998 octets (RFC 5322 2.1.1), and is ASCII unless an address is not.

use std::io::Write as _;

use bytes::Bytes;
use chrono::{DateTime, Datelike as _, Utc};
use lettre::Address;
use lettre::message::header::{From, Headers, ReplyTo, Subject, To};
use lettre::message::{Mailbox, Mailboxes};

use super::attached::{self, Attached};
use super::body;
use super::parcel::Email;
use crate::domain::{DisplayName, EmailAddress, Identity, one_line};

/// Longest subject, in characters; longer ones are cut.
const MAX_SUBJECT: usize = 250;

/// Longest line without its end, in octets.
const MAX_LINE: usize = 998;

/// Longest line that needs no folding (RFC 5322 2.1.1).
const SHORT_LINE: usize = 78;

/// What all e-mails of a dispatch have in their headers.
#[derive(Debug)]
pub struct Letterhead {
    /// Whole header lines.
    lines: String,
    /// Whether To and Cc are among them.
    addressed: bool,
    /// The outer boundary, and what stands behind every e-mail's own parts.
    enclosed: Option<(String, Bytes)>,
}

/// All that one recipient's e-mail is made of besides.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// To, unless the letterhead has it.
    pub to: &'a EmailAddress,
    /// The name beside it; may be empty.
    pub to_name: &'a DisplayName,
    /// Without `<>`; stable over all copies.
    pub message_id: &'a str,
    /// The row's creation.
    pub date: DateTime<Utc>,
    /// For List-Unsubscribe and List-Unsubscribe-Post (RFC 2369, RFC 8058).
    pub unsubscribe_url: Option<&'a str>,
    /// What the MIME boundary is made of: letters, digits and hyphens, at most 50.
    pub boundary_id: &'a str,
    /// The plain text.
    pub text: &'a str,
    /// The HTML.
    pub html: &'a str,
    /// iTIP method (RFC 5546) and body of a calendar part (RFC 6047).
    pub calendar: Option<(&'a str, &'a str)>,
}

/// Why a draft is no e-mail. Final for this notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MimeError {
    /// Not `local@domain` in plain ASCII.
    #[error("the Message-ID is not one")]
    MessageId,
    /// Spaces, angle brackets, not ASCII or too long.
    #[error("the unsubscribe URL cannot stand in a header: percent-encode it")]
    UnsubscribeUrl,
    /// Not letters, digits and hyphens.
    #[error("the boundary's id is not made of letters, digits and hyphens")]
    Boundary,
    /// Not letters and hyphens.
    #[error("the calendar method is not a word")]
    CalendarMethod,
    /// Outside the years 1970 … 9999.
    #[error("the date is outside the years 1970 to 9999")]
    Date,
}

impl Letterhead {
    /// From and Reply-To are `identity`; `subject` is cleaned and cut if it is not on one line.
    pub fn new(identity: &Identity, subject: &str) -> Self {
        let from = Mailboxes::from(mailbox(&identity.name, &identity.address));
        let mut headers = Headers::new();
        headers.set(From::from(from.clone()));
        headers.set(ReplyTo::from(from));
        headers.set(Subject::from(one_line(subject, MAX_SUBJECT)));
        let lines = format!("{headers}MIME-Version: 1.0\r\nAuto-Submitted: auto-generated\r\n");
        let addressed = false;
        Self {
            lines,
            addressed,
            enclosed: None,
        }
    }

    /// The same for e-mails that go to several: all of them have these in To and Cc, whoever a draft is for.
    /// With nobody in either, each has its own recipient in To.
    pub fn to_lists(identity: &Identity, subject: &str, to: &[EmailAddress], cc: &[EmailAddress]) -> Self {
        let mut letterhead = Self::new(identity, subject);
        put_list(&mut letterhead.lines, "To:", to);
        put_list(&mut letterhead.lines, "Cc:", cc);
        letterhead.addressed = !(to.is_empty() && cc.is_empty());
        letterhead
    }

    /// The same with attachments, which are encoded here, once. `id` is what the outer boundary is made of: as
    /// [`Draft::boundary_id`]. Without any nothing changes.
    pub fn enclosing(mut self, id: &str, attached: &[Attached]) -> Result<Self, MimeError> {
        if !attached.is_empty() {
            // The dot: no inner boundary begins like it.
            let outer = boundary(id)?.replacen("=_", "=_.", 1);
            let shared = attached::encode(&outer, attached);
            self.enclosed = Some((outer, shared));
        }
        Ok(self)
    }

    /// Bytes of the attachments as they are sent.
    pub fn shared_size(&self) -> usize {
        self.enclosed.as_ref().map_or(0, |(_, shared)| shared.len())
    }

    /// The e-mail, with CRLF line ends.
    pub fn assemble(&self, draft: &Draft<'_>) -> Result<Email, MimeError> {
        let boundary = boundary(draft.boundary_id)?;
        let calendar = draft.calendar.map(calendar_type).transpose()?;
        let size = draft.text.len() + draft.html.len() + calendar.as_ref().map_or(0, |(_, body)| body.len());
        let mut out = Vec::with_capacity(self.lines.len() + size + size / 8 + 1024);
        out.extend_from_slice(self.lines.as_bytes());
        if !self.addressed {
            put_to(&mut out, draft.to_name, draft.to);
        }
        put(&mut out, &["Date: ", &date(draft.date)?]);
        put(&mut out, &["Message-ID: <", message_id(draft.message_id)?, ">"]);
        if let Some(url) = draft.unsubscribe_url {
            put(&mut out, &["List-Unsubscribe: <", unsubscribe(url)?, ">"]);
            put(&mut out, &["List-Unsubscribe-Post: List-Unsubscribe=One-Click"]);
        }
        if let Some((outer, _)) = &self.enclosed {
            put(&mut out, &["Content-Type: multipart/mixed;"]);
            put(&mut out, &[" boundary=\"", outer, "\"\r\n"]);
            put(&mut out, &["--", outer]);
        }
        put(&mut out, &["Content-Type: multipart/alternative;"]);
        put(&mut out, &[" boundary=\"", &boundary, "\"\r\n"]);
        let parts = [
            ("text/plain; charset=utf-8", draft.text),
            ("text/html; charset=utf-8", draft.html),
        ];
        let calendar = calendar.as_ref().map(|(kind, body)| (kind.as_str(), *body));
        for (kind, text) in parts.into_iter().chain(calendar) {
            put(&mut out, &["--", &boundary]);
            put(&mut out, &["Content-Type: ", kind]);
            body::put(&mut out, text);
        }
        put(&mut out, &["--", &boundary, "--"]);
        let shared = self.enclosed.as_ref().map(|(_, shared)| shared.clone());
        Ok(Email {
            own: Bytes::from(out),
            shared: shared.unwrap_or_default(),
        })
    }
}

/// A line of these pieces.
fn put(out: &mut Vec<u8>, pieces: &[&str]) {
    for piece in pieces {
        out.extend_from_slice(piece.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// `EmailAddress` has checked more than the library would, and otherwise: what it takes, stands.
fn mailbox(name: &DisplayName, address: &EmailAddress) -> Mailbox {
    let name = (!name.is_empty()).then(|| name.as_str().to_owned());
    Mailbox::new(name, Address::new_dangerous(address.local(), address.domain()))
}

/// A header of addresses, none if there are none; the library does not fold between them.
fn put_list(lines: &mut String, header: &str, addresses: &[EmailAddress]) {
    let Some((last, others)) = addresses.split_last() else {
        return;
    };
    lines.push_str(header);
    let mut length = header.len();
    let ends = others.iter().map(|address| (address, ","));
    for (address, end) in ends.chain([(last, "\r\n")]) {
        let width = " ,".len() + address.as_str().len();
        if length + width > SHORT_LINE && length > header.len() {
            lines.push_str("\r\n");
            length = 0;
        }
        for piece in [" ", address.as_str(), end] {
            lines.push_str(piece);
        }
        length += width;
    }
}

/// Most names are short and plain; the others are left to the library.
fn put_to(out: &mut Vec<u8>, name: &DisplayName, address: &EmailAddress) {
    let (name, plain) = (name.as_str(), address.as_str());
    let simple = |b: u8| b == b' ' || b.is_ascii_graphic() && !matches!(b, b'"' | b'\\');
    let short = "To: \"\" <>".len() + name.len() + plain.len() <= SHORT_LINE;
    if short && !name.is_empty() && name.bytes().all(simple) && plain.is_ascii() {
        put(out, &["To: \"", name, "\" <", plain, ">"]);
        return;
    }
    let mut headers = Headers::new();
    headers.set(To::from(Mailboxes::from(mailbox(
        &DisplayName::clean(name),
        address,
    ))));
    // A Vec takes all that is written.
    let _ = write!(out, "{headers}");
}

/// `=_` occurs in neither quoted-printable nor base64, so no body can contain the boundary
/// (RFC 2045 6.7).
fn boundary(id: &str) -> Result<String, MimeError> {
    let fits = (1..=50).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    fits.then(|| format!("=_{id}")).ok_or(MimeError::Boundary)
}

fn date(at: DateTime<Utc>) -> Result<String, MimeError> {
    if (1970..=9999).contains(&at.year()) {
        Ok(at.to_rfc2822())
    } else {
        Err(MimeError::Date)
    }
}

fn message_id(id: &str) -> Result<&str, MimeError> {
    let (left, right) = id.split_once('@').ok_or(MimeError::MessageId)?;
    let plain = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_graphic() && !b"<>@()\\\",;".contains(&b))
    };
    if !plain(left) || !plain(right) || id.len() > 250 {
        return Err(MimeError::MessageId);
    }
    Ok(id)
}

fn unsubscribe(url: &str) -> Result<&str, MimeError> {
    let fits = !url.is_empty()
        && url.len() <= MAX_LINE - "List-Unsubscribe: <>".len()
        && url.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"".contains(&b));
    fits.then_some(url).ok_or(MimeError::UnsubscribeUrl)
}

fn calendar_type<'a>((method, body): (&str, &'a str)) -> Result<(String, &'a str), MimeError> {
    let fits = (1..=40).contains(&method.len());
    if !fits || !method.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') {
        return Err(MimeError::CalendarMethod);
    }
    Ok((format!("text/calendar; method={method}; charset=utf-8"), body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mailparse::{MailHeaderMap as _, ParsedMail, addrparse_header, parse_mail};
    use proptest::prelude::*;
    use rstest::rstest;

    struct Given {
        identity: Identity,
        to: EmailAddress,
        name: DisplayName,
    }

    fn given(to: &str, name: &str) -> Given {
        Given {
            identity: Identity {
                address: "news@example.com".parse().unwrap(),
                name: DisplayName::clean("Nachrichten, Zoë & \"Co\""),
            },
            to: to.parse().unwrap(),
            name: DisplayName::clean(name),
        }
    }

    fn assemble(given: &Given, subject: &str, draft: &Draft<'_>) -> Result<Bytes, MimeError> {
        let email = Letterhead::new(&given.identity, subject).assemble(draft)?;
        assert!(email.shared.is_empty());
        Ok(email.own)
    }

    fn draft<'a>(given: &'a Given, text: &'a str) -> Draft<'a> {
        Draft {
            to: &given.to,
            to_name: &given.name,
            message_id: "7.0190@example.com",
            date: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            unsubscribe_url: Some("https://example.com/u/7?x=1&y=%20"),
            boundary_id: "0190-7",
            text,
            html: "<p>Gr\u{fc}\u{df}e</p>\n",
            calendar: None,
        }
    }

    fn check_lines(bytes: &[u8], ascii: bool) {
        assert!(!ascii || bytes.is_ascii());
        assert!(bytes.ends_with(b"\r\n"));
        for line in bytes.split_inclusive(|&b| b == b'\n') {
            let line = line.strip_suffix(b"\r\n").expect("a bare LF");
            assert!(!line.contains(&b'\r') && line.len() <= MAX_LINE);
        }
    }

    fn names(mail: &ParsedMail<'_>) -> Vec<String> {
        let mut names: Vec<_> = mail.headers.iter().map(mailparse::MailHeader::get_key).collect();
        names.sort();
        names
    }

    const HEADERS: [&str; 11] = [
        "Auto-Submitted",
        "Content-Type",
        "Date",
        "From",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "MIME-Version",
        "Message-ID",
        "Reply-To",
        "Subject",
        "To",
    ];

    #[test]
    fn all_of_it_comes_back() {
        let given = given("ann@example.com", "Ann \"Zoë\" <O'Neil>, Dr.");
        let text = "Hello,\nwe moved.\n.\n\nTrailing \nЗдравствуйте\n";
        let ics = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n";
        let draft = Draft {
            calendar: Some(("REQUEST", ics)),
            ..draft(&given, text)
        };
        let subject = "Заголовок: what changed";
        let bytes = assemble(&given, subject, &draft).unwrap();
        check_lines(&bytes, true);
        let mail = parse_mail(&bytes).unwrap();
        assert_eq!(names(&mail), HEADERS);
        let header = |name: &str| mail.headers.get_first_value(name).unwrap();
        assert_eq!(header("Subject"), subject);
        assert_eq!(header("Date"), "Tue, 14 Nov 2023 22:13:20 +0000");
        assert_eq!(header("Message-ID"), "<7.0190@example.com>");
        assert_eq!(header("Auto-Submitted"), "auto-generated");
        assert_eq!(header("List-Unsubscribe"), "<https://example.com/u/7?x=1&y=%20>");
        assert_eq!(header("List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
        assert_eq!(header("MIME-Version"), "1.0");
        for (name, shown, address) in [
            ("From", given.identity.name.as_str(), "news@example.com"),
            ("Reply-To", given.identity.name.as_str(), "news@example.com"),
            ("To", given.name.as_str(), "ann@example.com"),
        ] {
            let list = addrparse_header(mail.headers.get_first_header(name).unwrap()).unwrap();
            let single = list.extract_single_info().unwrap();
            assert_eq!(single.display_name.as_deref(), Some(shown));
            assert_eq!(single.addr, address);
        }
        assert_eq!(mail.ctype.mimetype, "multipart/alternative");
        assert_eq!(mail.ctype.params["boundary"], "=_0190-7");
        let kinds: Vec<_> = mail.subparts.iter().map(|p| p.ctype.mimetype.as_str()).collect();
        assert_eq!(kinds, ["text/plain", "text/html", "text/calendar"]);
        assert!(mail.subparts.iter().all(|p| p.ctype.charset == "utf-8"));
        assert_eq!(mail.subparts[2].ctype.params["method"], "REQUEST");
        let body = |n: usize| mail.subparts[n].get_body().unwrap().replace("\r\n", "\n");
        assert_eq!(body(0).trim_end(), text.trim_end());
        assert_eq!(body(1).trim_end(), draft.html.trim_end());
        assert_eq!(body(2).trim_end(), ics.replace("\r\n", "\n").trim_end());
    }

    #[test]
    fn the_same_draft_gives_the_same_bytes() {
        let given = given("ann@example.com", "Ann");
        let draft = draft(&given, "t");
        let assemble = |draft| assemble(&given, "s", &draft);
        assert_eq!(assemble(draft), assemble(draft));
        let other = Draft {
            boundary_id: "0190-8",
            ..draft
        };
        assert_ne!(assemble(draft), assemble(other));
    }

    #[test]
    fn without_url_no_list_headers() {
        let given = given("ann@example.com", "");
        let draft = Draft {
            unsubscribe_url: None,
            ..draft(&given, "")
        };
        let bytes = assemble(&given, "", &draft).unwrap();
        let mail = parse_mail(&bytes).unwrap();
        assert!(names(&mail).iter().all(|name| !name.starts_with("List-")));
        assert_eq!(mail.headers.get_first_value("To").unwrap(), "ann@example.com");
    }

    fn addresses(list: &[&str]) -> Vec<EmailAddress> {
        list.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[rstest]
    #[case(&["data@acme.com"], &[])]
    #[case(&["data@acme.com", "ops@acme.com"], &["boss@acme.com", "audit@acme.com"])]
    #[case(&[], &["boss@acme.com"])]
    #[case(&["\"a, b\"@acme.com", "josé@acme.com"], &["ops@[IPv6:::1]", "zoë@acme.com"])]
    fn lists_stand_in_every_email(#[case] to: &[&str], #[case] cc: &[&str]) {
        let letterhead = {
            let identity = given("x@y", "").identity;
            Letterhead::to_lists(&identity, "s", &addresses(to), &addresses(cc))
        };
        for recipient in ["data@acme.com", "boss@acme.com"] {
            let given = given(recipient, "Not shown");
            let bytes = letterhead.assemble(&draft(&given, "t")).unwrap().own;
            check_lines(&bytes, to.iter().chain(cc).all(|address| address.is_ascii()));
            let mail = parse_mail(&bytes).unwrap();
            let value = |header| mail.headers.get_first_value(header).unwrap_or_default();
            assert_eq!((value("To"), value("Cc")), (to.join(", "), cc.join(", ")));
            let mut expected: Vec<_> = HEADERS.into_iter().filter(|name| *name != "To").collect();
            expected.extend((!to.is_empty()).then_some("To"));
            expected.extend((!cc.is_empty()).then_some("Cc"));
            expected.sort_unstable();
            assert_eq!(names(&mail), expected);
        }
    }

    #[test]
    fn nobody_listed_is_no_list() {
        let given = given("ann@example.com", "Ann");
        let unlisted = Letterhead::to_lists(&given.identity, "s", &[], &[]);
        let draft = draft(&given, "t");
        assert_eq!(
            unlisted.assemble(&draft).map(|email| email.own),
            assemble(&given, "s", &draft)
        );
    }

    #[test]
    fn long_lists_are_folded() {
        let many = |word: &str| -> Vec<EmailAddress> {
            let all = (0..300).map(|n| format!("{}-{n}@{word}.example.com", "x".repeat(n % 40)));
            all.map(|address| address.parse().unwrap()).collect()
        };
        let (given, to, cc) = (given("ann@example.com", ""), many("to"), many("cc"));
        let letterhead = Letterhead::to_lists(&given.identity, "s", &to, &cc);
        let bytes = letterhead.assemble(&draft(&given, "t")).unwrap().own;
        check_lines(&bytes, true);
        let mail = parse_mail(&bytes).unwrap();
        for (header, list) in [("To", to), ("Cc", cc)] {
            let read = addrparse_header(mail.headers.get_first_header(header).unwrap()).unwrap();
            let read = read.iter().map(|entry| match entry {
                mailparse::MailAddr::Single(single) => single.addr.as_str(),
                mailparse::MailAddr::Group(_) => panic!("a group"),
            });
            assert!(read.eq(list.iter().map(EmailAddress::as_str)));
        }
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.lines().all(|line| line.len() <= SHORT_LINE), "{head}");
    }

    #[rstest]
    #[case("josé@example.com")]
    #[case("\"a b\"@example.com")]
    #[case("ann@[127.0.0.1]")]
    #[case("ann@[IPv6:::1]")]
    #[case("a+b!#$%&'*/=?^`{|}~@xn--bcher-kva.example")]
    fn unusual_addresses(#[case] to: &str) {
        for name in ["", "Zoë", "Ann, \"the\" <great>"] {
            let given = given(to, name);
            let bytes = assemble(&given, "s", &draft(&given, "t")).unwrap();
            check_lines(&bytes, to.is_ascii());
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            assert!(text.replace("\r\n ", " ").contains(to), "{text}");
        }
    }

    #[rstest]
    #[case("a\r\nBcc: x@y")]
    #[case("")]
    #[case("a")]
    #[case("a@")]
    #[case("a b@c")]
    #[case("<a@b>")]
    #[case("ä@b")]
    fn bad_ids_are_errors(#[case] id: &str) {
        let given = given("ann@example.com", "Ann");
        let good = draft(&given, "t");
        let assemble = |draft| assemble(&given, "s", &draft);
        assert_eq!(
            assemble(Draft {
                message_id: id,
                ..good
            }),
            Err(MimeError::MessageId)
        );
        assert_eq!(
            assemble(Draft {
                boundary_id: "a b",
                ..good
            }),
            Err(MimeError::Boundary)
        );
        let url = Some("https://x/\r\nBcc: x");
        assert_eq!(
            assemble(Draft {
                unsubscribe_url: url,
                ..good
            }),
            Err(MimeError::UnsubscribeUrl)
        );
        let calendar = Some(("REQUEST; x=y", ""));
        assert_eq!(
            assemble(Draft { calendar, ..good }),
            Err(MimeError::CalendarMethod)
        );
        let ancient = DateTime::from_timestamp(-1, 0).unwrap();
        assert_eq!(
            assemble(Draft {
                date: ancient,
                ..good
            }),
            Err(MimeError::Date)
        );
        let distant = DateTime::<Utc>::MAX_UTC;
        assert_eq!(
            assemble(Draft {
                date: distant,
                ..good
            }),
            Err(MimeError::Date)
        );
    }

    #[test]
    fn attachments_stand_behind_all_that_is_shown() {
        let given = given("ann@example.com", "Ann");
        let attached = [("agenda.pdf", &b"%PDF\0\xff"[..]), ("Zoë.txt", b".\r\n")];
        let attached = attached.map(|(name, bytes)| Attached {
            name: name.to_owned(),
            bytes: Bytes::from_static(bytes),
        });
        let letterhead = Letterhead::new(&given.identity, "s");
        let letterhead = letterhead.enclosing("0190", &attached).unwrap();
        let [one, other] = ["t", "u"].map(|text| letterhead.assemble(&draft(&given, text)).unwrap());
        assert_eq!(one.shared.as_ptr(), other.shared.as_ptr());
        let bytes = [&one.own[..], &one.shared].concat();
        assert_eq!(bytes.len(), one.len());
        check_lines(&bytes, true);
        let mail = parse_mail(&bytes).unwrap();
        assert_eq!(names(&mail), HEADERS);
        let kinds: Vec<_> = mail.subparts.iter().map(|p| p.ctype.mimetype.as_str()).collect();
        assert_eq!(kinds, ["multipart/alternative", "application/pdf", "text/plain"]);
        assert_eq!(mail.subparts[0].subparts.len(), 2);
        for (part, one) in mail.subparts[1..].iter().zip(&attached) {
            assert_eq!(part.get_body_raw().unwrap(), one.bytes);
            assert_eq!(part.get_content_disposition().params["filename"], one.name);
        }
        assert!(letterhead.enclosing("a b", &attached).is_err());
    }

    #[test]
    fn the_last_date_fits() {
        let given = given("ann@example.com", "Ann");
        let last = DateTime::from_timestamp(253_402_300_799, 0).unwrap();
        assert!(
            assemble(
                &given,
                "s",
                &Draft {
                    date: last,
                    ..draft(&given, "t")
                }
            )
            .is_ok()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn hostile_text_stays_text(
            name in "\\PC{0,150}|(?s).{0,150}|[\"\\\\<>@,;: =?_a\r\n]{0,60}",
            subject in "\\PC{0,300}|(?s).{0,300}|[=?_ aQBé\r\n:]{0,300}",
            text in "\\PC{0,300}|(?s).{0,300}|[ab=.\r\n -]{0,300}",
        ) {
            let given = given("ann@example.com", &name);
            let bytes = assemble(&given, &subject, &draft(&given, &text)).unwrap();
            check_lines(&bytes, true);
            let mail = parse_mail(&bytes).unwrap();
            prop_assert_eq!(names(&mail), HEADERS);
            prop_assert_eq!(mail.subparts.len(), 2);
            let to = addrparse_header(mail.headers.get_first_header("To").unwrap()).unwrap();
            prop_assert_eq!(to.count_addrs(), 1);
            prop_assert_eq!(to.extract_single_info().unwrap().addr, "ann@example.com");
            // Raw, because the decoding reader drops a byte order mark.
            let body = String::from_utf8(mail.subparts[0].get_body_raw().unwrap()).unwrap();
            let body = body.replace("\r\n", "\n");
            let wanted = text.replace("\r\n", "\n");
            prop_assert_eq!(body.trim_end(), wanted.trim_end());
        }
    }
}
