//! E-mails one behind the other, in the mboxrd form of the mbox format (RFC 4155 with reversible quoting): what
//! comes out is byte for byte what went in, whatever its lines begin with.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use memchr::memmem;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// What begins an e-mail, and is quoted inside one.
const FROM: &[u8] = b"From ";

/// Longest e-mail that is read back, in bytes.
const MAX_EMAIL: usize = 64 * 1024 * 1024;

/// Appends an e-mail, given in pieces, whose line ends are CRLF. `sender` and `at` stand in its separator.
pub fn write_email(
    out: &mut impl Write,
    sender: &str,
    at: DateTime<Utc>,
    pieces: &[&[u8]],
) -> io::Result<()> {
    writeln!(out, "From {sender} {}", at.format("%a %b %e %H:%M:%S %Y"))?;
    for piece in pieces {
        // Pieces end with a line, so each begins with one.
        quoted(out, piece)?;
    }
    out.write_all(b"\n")
}

/// `text` with one `>` more before each line that begins with any number of them and `From `.
fn quoted(out: &mut impl Write, text: &[u8]) -> io::Result<()> {
    let mut written = 0;
    for at in memmem::find_iter(text, FROM) {
        let arrows = text[..at].iter().rev().take_while(|&&b| b == b'>').count();
        let line = at - arrows;
        if line == 0 || text[line - 1] == b'\n' {
            out.write_all(&text[written..line])?;
            out.write_all(b">")?;
            written = line;
        }
    }
    out.write_all(&text[written..])
}

/// Reads e-mails back.
#[derive(Debug)]
pub struct MboxReader<R> {
    input: R,
    line: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> MboxReader<R> {
    /// From the beginning of `input`.
    pub const fn new(input: R) -> Self {
        let line = Vec::new();
        Self { input, line }
    }

    /// The next e-mail, none behind the last one.
    ///
    /// # Errors
    /// What reading says, and what is no mbox.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.line.is_empty() && self.input.read_until(b'\n', &mut self.line).await? == 0 {
            return Ok(None);
        }
        if !self.line.starts_with(FROM) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not an mbox: no separator",
            ));
        }
        let mut email = Vec::new();
        loop {
            self.line.clear();
            if self.input.read_until(b'\n', &mut self.line).await? == 0 || self.line.starts_with(FROM) {
                break;
            }
            let arrows = self.line.iter().take_while(|&&b| b == b'>').count();
            let quoted = arrows > 0 && self.line[arrows..].starts_with(FROM);
            email.extend_from_slice(&self.line[usize::from(quoted)..]);
            if email.len() > MAX_EMAIL {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "an e-mail in it has no end",
                ));
            }
        }
        if email.pop() != Some(b'\n') {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "its last e-mail is cut off",
            ));
        }
        Ok(Some(email))
    }
}

/// The Message-ID of an e-mail, without its brackets.
pub fn message_id_of(email: &[u8]) -> Option<&str> {
    let headers = &email[..memmem::find(email, b"\r\n\r\n")?];
    let at = memmem::find(headers, b"\r\nMessage-ID: <")? + b"\r\nMessage-ID: <".len();
    let rest = &headers[at..];
    std::str::from_utf8(&rest[..memchr::memchr(b'>', rest)?]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    async fn back(mbox: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut reader = MboxReader::new(mbox);
        let mut emails = Vec::new();
        while let Some(email) = reader.next().await? {
            emails.push(email);
        }
        Ok(emails)
    }

    fn write(emails: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for email in emails {
            write_email(&mut out, "a@example.com", DateTime::UNIX_EPOCH, &[email]).unwrap();
        }
        out
    }

    #[tokio::test]
    async fn lines_that_look_like_a_separator() {
        let email = b"Subject: x\r\n\r\nFrom here\r\n>From there\r\nnot From\r\n>>From\r\n".to_vec();
        let mbox = write(&[email.clone(), email.clone()]);
        let text = String::from_utf8(mbox.clone()).unwrap();
        assert!(text.starts_with(
            "From a@example.com Thu Jan  1 00:00:00 1970\nSubject: x\r\n\r\n>From here\r\n>>From there\r\n"
        ));
        assert_eq!(back(&mbox).await.unwrap(), [email.clone(), email]);
    }

    #[tokio::test]
    async fn what_is_cut_off_is_no_email() {
        let mbox = write(&[b"a: b\r\n\r\nc\r\n".to_vec()]);
        assert!(back(&mbox[..mbox.len() - 3]).await.is_err());
        assert!(back(b"a: b\r\n").await.is_err());
        assert_eq!(back(b"").await.unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn message_ids() {
        let email = b"From: a\r\nMessage-ID: <1.2@x>\r\nTo: b\r\n\r\nMessage-ID: <no>\r\n";
        assert_eq!(message_id_of(email), Some("1.2@x"));
        assert_eq!(message_id_of(b"From: a\r\n\r\n\r\nMessage-ID: <no>\r\n"), None);
        assert_eq!(message_id_of(b"garbage"), None);
    }

    proptest! {
        #[test]
        fn all_comes_back(emails in proptest::collection::vec("((>{0,3}From |From|x|>|.){0,3}\r\n){1,6}", 0..5)) {
            let emails: Vec<Vec<u8>> = emails.into_iter().map(String::into_bytes).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            prop_assert_eq!(runtime.block_on(back(&write(&emails))).unwrap(), emails);
        }
    }
}
