//! A text as a MIME body: quoted-printable or base64 (RFC 2045 6.7, 6.8), whichever is shorter by and large.

use lettre::message::Body;
use lettre::message::header::ContentTransferEncoding;

/// Longest line of quoted-printable, without its end.
const LINE: usize = 76;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends the rest of a part's header, and `text` as its body with a line end.
pub(super) fn put(out: &mut Vec<u8>, text: &str) {
    // Quoted-printable triples what is not ASCII; base64 takes a third more of everything.
    let special = if text.is_ascii() {
        0
    } else {
        text.bytes().filter(|b| !b.is_ascii()).count()
    };
    if special * 6 > text.len() {
        out.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
        let encoded = Body::new_with_encoding(text.to_owned(), ContentTransferEncoding::Base64);
        // Base64 takes every text.
        out.extend_from_slice(encoded.unwrap_or_else(Body::new).as_ref());
        out.extend_from_slice(b"\r\n");
        return;
    }
    out.extend_from_slice(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n");
    for line in text.split_inclusive('\n') {
        let line = line.strip_suffix('\n').unwrap_or(line);
        put_line(out, line.strip_suffix('\r').unwrap_or(line).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// One line, folded with soft line breaks where it is too long.
fn put_line(out: &mut Vec<u8>, line: &[u8]) {
    let mut rest = line;
    let mut column = 0;
    while !rest.is_empty() {
        // As much as stands for itself and fits, with room for a soft break.
        let room = LINE - 1 - column;
        let run = rest.iter().take(room).take_while(|&&b| is_plain(b)).count();
        let ends = run == rest.len();
        // White space at a line's end would be lost on the way.
        let kept = if ends && is_blank(rest[run - 1]) {
            run - 1
        } else {
            run
        };
        out.extend_from_slice(&rest[..kept]);
        column += kept;
        rest = &rest[kept..];
        let Some(&next) = rest.first() else { return };
        let special = !is_plain(next) || rest.len() == 1 && is_blank(next);
        let width = if special { 3 } else { 1 };
        if column + width > LINE - 1 {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        } else if special {
            let (high, low) = (usize::from(next >> 4), usize::from(next & 15));
            out.extend_from_slice(&[b'=', HEX[high], HEX[low]]);
            column += 3;
            rest = &rest[1..];
        }
    }
}

const fn is_plain(b: u8) -> bool {
    matches!(b, b'!'..=b'<' | b'>'..=b'~' | b' ' | b'\t')
}

const fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn encoded(text: &str) -> String {
        let mut out = Vec::new();
        put(&mut out, text);
        let whole = String::from_utf8(out).unwrap();
        whole.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    #[rstest]
    #[case("", "")]
    #[case("a", "a\r\n")]
    #[case("a\nb\r\n", "a\r\nb\r\n")]
    #[case("a=b", "a=3Db\r\n")]
    #[case("a \nb\t", "a=20\r\nb=09\r\n")]
    #[case("a\rb", "a=0Db\r\n")]
    #[case(
        "Gr\u{fc}\u{df}e, aber meist ASCII, wirklich",
        "Gr=C3=BC=C3=9Fe, aber meist ASCII, wirklich\r\n"
    )]
    fn texts(#[case] text: &str, #[case] body: &str) {
        assert_eq!(encoded(text), body);
    }

    #[test]
    fn long_lines_are_folded() {
        for length in 70..160 {
            for end in ["", " ", "=", "\t "] {
                let text = "x".repeat(length) + end;
                let body = encoded(&text);
                assert!(body.split("\r\n").all(|line| line.len() <= LINE), "{body}");
                assert_eq!(
                    body.replace("=\r\n", "")
                        .replace("=20", " ")
                        .replace("=3D", "=")
                        .replace("=09", "\t")
                        .trim_end_matches("\r\n"),
                    text
                );
            }
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(text in "\\PC{0,300}|(?s).{0,300}|[ab=. \t\u{e9}-]{0,300}") {
            let mut part = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n".to_vec();
            put(&mut part, &text);
            prop_assert!(part.is_ascii());
            for line in String::from_utf8(part.clone()).unwrap().split("\r\n") {
                prop_assert!(line.len() <= LINE && !line.contains(['\r', '\n']) && !line.ends_with([' ', '\t']));
            }
            let mail = mailparse::parse_mail(&part).unwrap();
            let body = String::from_utf8(mail.get_body_raw().unwrap()).unwrap().replace("\r\n", "\n");
            let wanted = text.replace("\r\n", "\n");
            prop_assert_eq!(body.trim_end_matches('\n'), wanted.trim_end_matches('\n'));
        }
    }
}
