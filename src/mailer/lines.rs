//! Replies as text (RFC 5321 4.2).

use super::fault::{FaultCause, Reply};

/// Longest line of a reply, in bytes; RFC 5321 4.5.3.1.5 asks for 512.
const MAX_LINE: usize = 1000;

/// Longest reply, in bytes.
const MAX_REPLY: usize = 100_000;

/// A reply with its lines, as EHLO needs them.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) code: u16,
    pub(super) lines: Vec<String>,
}

impl Lines {
    /// The texts of a whole reply.
    pub(super) fn read(code: u16, bytes: &[u8]) -> Self {
        let lines = bytes.split_inclusive(|&b| b == b'\n').filter_map(|line| {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let (_, _, text) = split_line(line.strip_suffix(b"\r").unwrap_or(line))?;
            Some(String::from_utf8_lossy(text).into_owned())
        });
        let lines = lines.collect();
        Self { code, lines }
    }

    pub(super) fn reply(&self) -> Reply {
        Reply::new(self.code, &self.lines)
    }
}

/// Code and length of the whole reply (RFC 5321 4.2) at the start of `bytes`; `None` if more is to come.
pub(super) fn whole_reply(bytes: &[u8]) -> Result<Option<(u16, usize)>, FaultCause> {
    let mut code = None;
    let mut start = 0;
    loop {
        let rest = &bytes[start..];
        let end = rest.iter().position(|&b| b == b'\n');
        if start > MAX_REPLY || end.unwrap_or(rest.len()) > MAX_LINE {
            return Err(FaultCause::Protocol("the reply is too long".into()));
        }
        let Some(end) = end else { return Ok(None) };
        start += end + 1;
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        let (this, more, _) = split_line(line).ok_or_else(|| not_a_reply(line))?;
        if *code.get_or_insert(this) != this {
            return Err(FaultCause::Protocol(
                "the lines of a reply disagree about its code".into(),
            ));
        }
        if !more {
            return Ok(Some((this, start)));
        }
    }
}

/// Code, whether another line follows, and text. A code alone is fine (RFC 5321 4.2).
fn split_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (code, rest) = line.split_at_checked(3)?;
    let valid = matches!(code[0], b'2'..=b'5') && code.iter().all(u8::is_ascii_digit);
    let code = code
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(digit.wrapping_sub(b'0')));
    match rest.split_first() {
        _ if !valid => None,
        None => Some((code, false, rest)),
        Some((b' ', text)) => Some((code, false, text)),
        Some((b'-', text)) => Some((code, true, text)),
        Some(_) => None,
    }
}

fn not_a_reply(line: &[u8]) -> FaultCause {
    let shown = crate::domain::one_line(&String::from_utf8_lossy(line), 80);
    FaultCause::Protocol(format!("not an SMTP reply: {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("250 ok\r\n", 250, &["ok"], 8)]
    #[case("250\r\n", 250, &[""], 5)]
    #[case("250 \n", 250, &[""], 5)]
    #[case("560 strange\r\n", 560, &["strange"], 13)]
    #[case("250-a\r\n250- \r\n250 b\r\n220 next\r\n", 250, &["a", " ", "b"], 21)]
    fn whole(#[case] text: &str, #[case] code: u16, #[case] lines: &[&str], #[case] length: usize) {
        let whole = whole_reply(text.as_bytes()).unwrap().unwrap();
        assert_eq!(whole, (code, length));
        assert_eq!(Lines::read(code, &text.as_bytes()[..length]).lines, lines);
        for cut in 0..length {
            assert!(whole_reply(&text.as_bytes()[..cut]).unwrap().is_none());
        }
    }

    #[rstest]
    #[case(b"hello\r\n".to_vec())]
    #[case(b"\r\n".to_vec())]
    #[case(b"25\r\n".to_vec())]
    #[case(b"150 no\r\n".to_vec())]
    #[case(b"650 no\r\n".to_vec())]
    #[case(b"2500 no\r\n".to_vec())]
    #[case(b"250-a\r\n251 b\r\n".to_vec())]
    #[case([b"250 ", "x".repeat(2000).as_bytes()].concat())]
    #[case("250-x\r\n".repeat(20_000).into_bytes())]
    fn no_reply(#[case] bytes: Vec<u8>) {
        assert!(matches!(whole_reply(&bytes), Err(FaultCause::Protocol(_))));
    }

    #[test]
    fn text_need_not_be_utf8() {
        let reply = Lines::read(550, b"550 Benutzer nicht m\xf6glich\r\n");
        assert_eq!(reply.reply().text, "Benutzer nicht m\u{fffd}glich");
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((code, length))) = whole_reply(&bytes) {
                assert!(!Lines::read(code, &bytes[..length]).lines.is_empty());
            }
        }
    }
}
