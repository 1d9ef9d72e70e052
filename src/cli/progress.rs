//! Progress of long work: a bar on a terminal, a plain line now and then elsewhere. Always on stderr, so
//! that standard output stays the answer.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two plain lines.
const LINE: Duration = Duration::from_secs(5);

/// Tells how far something is.
pub(super) struct Progress {
    what: &'static str,
    bar: Option<ProgressBar>,
    total: u64,
    told: Instant,
}

impl Progress {
    pub(super) fn new(what: &'static str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} {per_sec} {eta}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style).with_message(what)
        });
        Self {
            what,
            bar,
            total,
            told: Instant::now(),
        }
    }

    pub(super) fn set(&mut self, done: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if self.told.elapsed() >= LINE => {
                self.told = Instant::now();
                eprintln!("{}: {done} of {}", self.what, self.total);
            }
            None => {}
        }
    }

    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
