//! One conversation as the sink sees it: bytes in, replies out. Commands out of order get 503 and are
//! counted, so a broken pipeline shows.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use memchr::memmem;

use super::Seen;

const END: &[u8] = b"\r\n.\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Command,
    /// How many octets were searched for the end of the e-mail.
    Data(usize),
    /// Octets that are still to come, and whether it is the last chunk.
    Chunk(usize, bool),
    Over,
}

#[derive(Debug)]
pub(super) struct Session {
    chunking: bool,
    state: State,
    has_sender: bool,
    recipients: Vec<String>,
}

impl Session {
    pub(super) fn new(chunking: bool) -> Self {
        Self {
            chunking,
            state: State::Command,
            has_sender: false,
            recipients: Vec::new(),
        }
    }

    /// QUIT was said.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Takes what it can of `input`; how much.
    pub(super) fn take(&mut self, input: &[u8], replies: &mut Vec<u8>, seen: &mut Seen) -> usize {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            let used = match self.state {
                State::Command => self.command(rest, replies, seen),
                State::Data(..) => self.data(rest, replies, seen),
                State::Chunk(..) => self.chunk(rest, replies, seen),
                State::Over => None,
            };
            match used {
                Some(used) => at += used,
                None => return at,
            }
        }
    }

    fn command(&mut self, rest: &[u8], replies: &mut Vec<u8>, seen: &mut Seen) -> Option<usize> {
        let end = memchr::memchr(b'\n', rest)? + 1;
        let line = String::from_utf8_lossy(&rest[..end]);
        let line = line.trim_end();
        let upper = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply: &[u8] = match upper.as_str() {
            "EHLO" => {
                self.reset();
                if self.chunking {
                    b"250-sink\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n"
                } else {
                    b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
                }
            }
            "MAIL" if !self.has_sender => {
                self.has_sender = true;
                b"250 2.1.0 ok\r\n"
            }
            "RCPT" if self.has_sender => {
                self.recipients.push(address(line));
                b"250 2.1.5 ok\r\n"
            }
            "DATA" if !self.recipients.is_empty() => {
                self.state = State::Data(0);
                b"354 go on\r\n"
            }
            "BDAT" if self.chunking && !self.recipients.is_empty() => match size(line) {
                Some((octets, last)) => {
                    self.state = State::Chunk(octets, last);
                    seen.octets += octets as u64;
                    b""
                }
                None => wrong(seen),
            },
            "RSET" => {
                self.reset();
                b"250 2.0.0 ok\r\n"
            }
            "NOOP" => b"250 2.0.0 ok\r\n",
            "QUIT" => {
                self.state = State::Over;
                b"221 2.0.0 bye\r\n"
            }
            _ => wrong(seen),
        };
        replies.extend_from_slice(reply);
        Some(end)
    }

    fn data(&mut self, rest: &[u8], replies: &mut Vec<u8>, seen: &mut Seen) -> Option<usize> {
        let State::Data(searched) = self.state else {
            return None;
        };
        let Some(end) = memmem::find(&rest[searched..], END) else {
            self.state = State::Data(rest.len().saturating_sub(END.len() - 1));
            return None;
        };
        let used = searched + end + END.len();
        seen.octets += used as u64;
        self.done(replies, seen);
        Some(used)
    }

    fn chunk(&mut self, rest: &[u8], replies: &mut Vec<u8>, seen: &mut Seen) -> Option<usize> {
        let State::Chunk(left, last) = self.state else {
            return None;
        };
        let used = left.min(rest.len());
        if used < left {
            self.state = State::Chunk(left - used, last);
            return (used > 0).then_some(used);
        }
        if last {
            self.done(replies, seen);
        } else {
            self.state = State::Command;
            replies.extend_from_slice(b"250 2.0.0 ok\r\n");
        }
        Some(used)
    }

    fn done(&mut self, replies: &mut Vec<u8>, seen: &mut Seen) {
        seen.emails += 1;
        let now = Instant::now();
        for address in &self.recipients {
            let mut hasher = DefaultHasher::new();
            address.hash(&mut hasher);
            seen.recipients.insert(hasher.finish());
            let domain = address.rsplit('@').next().unwrap_or_default();
            match seen.arrivals.get_mut(domain) {
                Some(arrivals) => arrivals.1 = now,
                None => {
                    seen.arrivals.insert(domain.to_owned(), (now, now));
                }
            }
        }
        self.state = State::Command;
        self.reset();
        replies.extend_from_slice(b"250 2.0.0 taken\r\n");
    }

    fn reset(&mut self) {
        self.has_sender = false;
        self.recipients.clear();
    }
}

fn wrong(seen: &mut Seen) -> &'static [u8] {
    seen.errors += 1;
    b"503 5.5.1 out of order\r\n"
}

/// What stands between `<` and `>`.
fn address(line: &str) -> String {
    let start = line.find('<').map_or(0, |at| at + 1);
    let end = line.rfind('>').unwrap_or(line.len()).max(start);
    line[start..end].to_owned()
}

/// `BDAT 1234 LAST`.
fn size(line: &str) -> Option<(usize, bool)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let octets = words.next()?.parse().ok()?;
    Some((
        octets,
        words.next().is_some_and(|w| w.eq_ignore_ascii_case("LAST")),
    ))
}
