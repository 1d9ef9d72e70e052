//! The attachments of a dispatch as MIME parts, encoded once for all its e-mails.
//!
//! What comes out is ASCII, in lines of at most 78 octets, whatever names and bytes go in.

use bytes::Bytes;
use lettre::message::Body;
use lettre::message::header::{ContentDisposition, ContentTransferEncoding, Headers};

use crate::domain::one_line;

/// Longest name of an attachment, in characters; longer ones lose their middle.
const MAX_NAME: usize = 120;

/// Content types by the end of a name; whoever opens an attachment looks at its name, too.
const KINDS: [(&str, &str); 18] = [
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("ics", "text/calendar"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    ("svg", "image/svg+xml"),
    ("tgz", "application/gzip"),
    ("txt", "text/plain"),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

/// What is attached to every e-mail of a dispatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Foreign text: what is no file's name in it is left out.
    pub name: String,
    /// As they are.
    pub bytes: Bytes,
}

/// The content type that goes with a name.
pub fn content_type(name: &str) -> &'static str {
    let end = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    let known = end.and_then(|end| KINDS.iter().find(|(known, _)| *known == end));
    known.map_or("application/octet-stream", |(_, kind)| kind)
}

/// All parts, and the closing boundary.
pub(super) fn encode(boundary: &str, attached: &[Attached]) -> Bytes {
    let size = attached.iter().map(|one| one.bytes.len() / 3 * 4).sum::<usize>();
    let mut out = Vec::with_capacity(size + size / 32 + 1024 * attached.len());
    for one in attached {
        let name = file_name(&one.name);
        let mut headers = Headers::new();
        headers.set(ContentDisposition::attachment(&name));
        let kind = content_type(&name);
        let head = format!(
            "--{boundary}\r\nContent-Type: {kind}\r\n{headers}Content-Transfer-Encoding: base64\r\n\r\n"
        );
        out.extend_from_slice(head.as_bytes());
        let encoded = Body::new_with_encoding(one.bytes.to_vec(), ContentTransferEncoding::Base64);
        // Base64 takes everything.
        out.extend_from_slice(encoded.unwrap_or_else(Body::new).as_ref());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Bytes::from(out)
}

/// A name without folders, without anything that ends a header or hides its end, and never empty.
fn file_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let line = one_line(last, 4 * MAX_NAME);
    let kept = line
        .chars()
        .filter(|c| !matches!(c, '"' | ';' | '<' | '>' | ':' | '|' | '?' | '*'));
    let kept = kept
        .filter(|&c| !c.is_control() && !reorders(c))
        .collect::<Vec<_>>();
    let half = MAX_NAME / 2;
    let short = if kept.len() > MAX_NAME {
        // The end says what kind of file it is.
        [&kept[..half], &kept[kept.len() - half..]].concat()
    } else {
        kept
    };
    let short = short.into_iter().collect::<String>();
    match short.trim().trim_start_matches('.') {
        "" => "attachment".to_owned(),
        name => name.to_owned(),
    }
}

/// Marks that let `exe.fdp` be shown as `pdf.exe`.
const fn reorders(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("agenda.pdf", "agenda.pdf")]
    #[case("Zoë's Plan.PDF", "Zoë's Plan.PDF")]
    #[case("../../etc/passwd", "passwd")]
    #[case("C:\\x\\y.txt", "y.txt")]
    #[case("a\"; filename=\"b.exe", "a filename=b.exe")]
    #[case("\u{202e}fdp.exe", "fdp.exe")]
    #[case(" .. ", "attachment")]
    #[case("", "attachment")]
    fn names(#[case] given: &str, #[case] name: &str) {
        assert_eq!(file_name(given), name);
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        let name = file_name(&("é".repeat(300) + ".pdf"));
        assert!(name.strip_suffix(".pdf").is_some() && name.chars().count() == MAX_NAME);
    }

    #[rstest]
    #[case("a.pdf", "application/pdf")]
    #[case("a.tar.GZ", "application/gzip")]
    #[case("pdf", "application/octet-stream")]
    #[case("a.exe", "application/octet-stream")]
    fn kinds(#[case] name: &str, #[case] kind: &str) {
        assert_eq!(content_type(name), kind);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn what_is_attached_comes_back(
            files in proptest::collection::vec((
                "\\PC{0,80}|(?s).{0,200}|[\"\\\\/;:=*'%\r\n .a]{0,60}",
                proptest::collection::vec(any::<u8>(), 0..400),
            ), 1..4),
        ) {
            let attached: Vec<_> = files.into_iter().map(|(name, bytes)| {
                Attached { name, bytes: Bytes::from(bytes) }
            }).collect();
            let shared = encode("=_.7", &attached);
            prop_assert!(shared.is_ascii());
            let text = std::str::from_utf8(&shared).unwrap();
            for line in text.split("\r\n") {
                prop_assert!(line.len() <= 998 && !line.contains(['\r', '\n']));
            }
            let whole = format!("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_.7\"\r\n\r\n{text}");
            let mail = mailparse::parse_mail(whole.as_bytes()).unwrap();
            prop_assert_eq!(mail.subparts.len(), attached.len());
            for (part, one) in mail.subparts.iter().zip(&attached) {
                let body = part.get_body_raw().unwrap();
                prop_assert_eq!(&body, &one.bytes);
                prop_assert_eq!(part.headers.len(), 3);
                let disposition = part.get_content_disposition();
                prop_assert_eq!(disposition.disposition, mailparse::DispositionType::Attachment);
                let name = disposition.params.get("filename").cloned();
                prop_assert_eq!(name, Some(file_name(&one.name)));
            }
        }
    }
}
