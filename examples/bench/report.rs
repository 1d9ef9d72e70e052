//! The report, in Markdown.

use std::fmt::Write as _;
use std::path::Path;

use crate::fairness::Fairness;
use crate::first::PARTICIPANTS;
use crate::hang::{self, EMAILS};
use crate::job::{Figures, Row};
use crate::options::{Options, Scenario};
use crate::{Fallible, machine};

/// Between these the report stands in the file.
const MARKERS: [&str; 2] = ["<!-- own -->", "<!-- /own -->"];
const CHUNKING_MARKERS: [&str; 2] = ["<!-- own-chunking -->", "<!-- /own-chunking -->"];
const HANG_MARKERS: [&str; 2] = ["<!-- own-hang -->", "<!-- /own-hang -->"];

/// What was measured; a run that went wrong in any way is not among it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) jobs: Vec<Row>,
    pub(crate) first: Option<Vec<f64>>,
    pub(crate) fairness: Option<Fairness>,
    pub(crate) hang: Vec<hang::Row>,
}

impl Report {
    /// Prints it, and writes it where that is wanted.
    pub(crate) fn put(&self, options: &Options) -> Fallible<()> {
        let text = self.text(options);
        println!("{text}");
        if let Some(file) = &options.write {
            let markers = match (options.chunking, options.only.as_slice()) {
                (_, [Scenario::Hang]) => HANG_MARKERS,
                (true, _) => CHUNKING_MARKERS,
                (false, _) => MARKERS,
            };
            replace(file, markers, &text)?;
        }
        Ok(())
    }

    fn text(&self, options: &Options) -> String {
        let mut text = format!(
            "{}, {}. Medians of {} (lowest–highest) with {} participants; command: `{}`.\n",
            chrono::Utc::now().format("%Y-%m-%d"),
            machine::machine(),
            counted(options.rounds()),
            thousands(options.n()),
            command(),
        );
        if !self.jobs.is_empty() {
            text.push_str(
                "\n| database | round trip | e-mails/s | CPU s/1,000 | peak RSS | round trips/e-mail | connections | foreign cores |\n\
                 |---|---|---|---|---|---|---|---|\n",
            );
        }
        for row in &self.jobs {
            line(&mut text, row);
        }
        if self.first.is_some() || self.fairness.is_some() {
            text.push_str("\n| how soon | median | worst |\n|---|---|---|\n");
        }
        if let Some(first) = &self.first {
            let (median, worst) = (median(first), highest(first));
            let what = format!(
                "first of {} e-mails, worker idle, {} tries",
                thousands(PARTICIPANTS),
                first.len()
            );
            let _ = writeln!(text, "| {what} | {median:.0} ms | {worst:.0} ms |");
        }
        if let Some(fairness) = &self.fairness {
            fair(&mut text, fairness, options.giant());
        }
        beside(&mut text, &self.hang);
        text
    }
}

fn line(text: &mut String, row: &Row) {
    let of = |figure: fn(&Figures) -> f64| row.runs.iter().map(figure).collect::<Vec<_>>();
    let rates = of(|f| f.rate);
    let lowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let _ = writeln!(
        text,
        "| {} | {} ms | {} ({}–{}) | {:.3} | {:.0} MB | {:.2} | {:.0} | {:.1} |",
        row.kind.shown(),
        row.latency,
        rounded(median(&rates)),
        rounded(lowest),
        rounded(highest(&rates)),
        median(&of(|f| f.cpu)),
        median(&of(|f| f.peak_rss)),
        median(&of(|f| f.round_trips)),
        median(&of(|f| f.connections)),
        median(&of(|f| f.foreign)),
    );
}

fn fair(text: &mut String, fairness: &Fairness, giant: u64) {
    let number = fairness.alone.len();
    let rows = [
        (
            format!("{number} small events of 10, alone"),
            fairness.alone.clone(),
        ),
        (
            format!("the same while an event of {} runs", thousands(giant)),
            fairness.beside.clone(),
        ),
        (
            "later than alone, event by event".to_owned(),
            fairness.differences(),
        ),
    ];
    for (what, values) in rows {
        let _ = writeln!(
            text,
            "| {what} | {:.0} ms | {:.0} ms |",
            median(&values),
            highest(&values)
        );
    }
}

/// The first row is what the others are compared to.
fn beside(text: &mut String, rows: &[hang::Row]) {
    let Some(alone) = rows.first() else { return };
    let _ = writeln!(
        text,
        "\n| {} e-mails of one tenant, {} tries | median | worst | times as long |\n|---|---|---|---|",
        thousands(EMAILS),
        alone.took.len()
    );
    for row in rows {
        let (median, worst, alone) = (median(&row.took), highest(&row.took), median(&alone.took));
        let factor = median / alone;
        let _ = writeln!(
            text,
            "| {} | {median:.0} ms | {worst:.0} ms | {factor:.2} |",
            row.way
        );
    }
}

fn command() -> String {
    let words = std::env::args().skip(1);
    std::iter::once("scripts/bench".to_owned())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

fn counted(rounds: usize) -> String {
    if rounds == 1 {
        "1 round".into()
    } else {
        format!("{rounds} rounds")
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

fn highest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
fn rounded(value: f64) -> String {
    thousands(value.round() as u64)
}

fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Puts `text` between the markers of a file and leaves the rest as it is.
fn replace(file: &Path, [begin, end]: [&str; 2], text: &str) -> Fallible<()> {
    let old = std::fs::read_to_string(file)?;
    let missing = || format!("{} has no {begin} … {end}", file.display());
    let (before, rest) = old.split_once(begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(end).ok_or_else(missing)?;
    std::fs::write(
        file,
        format!("{before}{begin}\n{}\n{end}{after}", text.trim_end()),
    )?;
    Ok(())
}
