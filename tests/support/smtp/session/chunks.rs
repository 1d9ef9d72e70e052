//! CHUNKING (RFC 3030): bodies in counted octets instead of lines up to a dot.

use std::io;

use super::{At, Done, Session};

impl Session<'_> {
    /// `BDAT <octets> [LAST]`. What is refused is read as well: its octets are no commands.
    pub(super) async fn bdat(&mut self, line: &str) -> io::Result<()> {
        let Some((size, last)) = announced(line) else {
            // Nobody knows where the next command begins.
            self.say("501 5.5.4 BDAT octets [LAST]").await?;
            return Err(super::ended());
        };
        if self.to.is_none() {
            self.octets(size).await?;
            return self.say("503 5.5.1 RCPT first").await;
        }
        if size > 0 && self.begun().await? == Done::Replaced {
            return Ok(());
        }
        let chunk = self.octets(size).await?;
        self.chunks.extend(chunk);
        if last {
            let raw = std::mem::take(&mut self.chunks);
            let message = self.message(raw);
            self.dot(line, message).await?;
            self.clear();
        } else {
            let usual = format!("250 2.0.0 {size} octets");
            // After a refused chunk the rest of them is nobody's (RFC 3030, section 2).
            if self.act(At::Bdat, line, &usual).await? == Done::Replaced {
                self.clear();
            }
        }
        Ok(())
    }

    async fn octets(&mut self, size: usize) -> io::Result<Vec<u8>> {
        while self.received.len() < size {
            self.receive().await?;
        }
        Ok(self.received.drain(..size).collect())
    }
}

fn announced(line: &str) -> Option<(usize, bool)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let size = words.next()?.parse().ok()?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return None,
    };
    words.next().is_none().then_some((size, last))
}
