//! `pipeline`: what the e-mails and posts about pipelines are made of.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::one_line;
use crate::message::{Detail, PipelineKind};

use super::super::facts::PipelineFacts;
use super::super::text::{duration, label, line, lines, utc};
use super::MAX_TITLE;

/// Longest id of a pipeline, run or table shown, in characters.
const MAX_NAME: usize = 200;
/// Longest message or error shown, in characters.
const MAX_TEXT: usize = 4000;
/// Longest name of a check shown, in characters.
const MAX_CHECK: usize = 200;
/// Checks shown; of the rest only the number is told.
const MAX_CHECKS: usize = 20;
/// Longest name of a detail shown, in characters.
const MAX_LABEL: usize = 80;
/// Longest value of a detail shown, in characters.
const MAX_VALUE: usize = 500;
/// Details shown; of the rest only the number is told.
const MAX_DETAILS: usize = 30;

/// `pipeline`: what is known of what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PipelineContext {
    /// The message's type, such as `pipeline_failure`.
    pub kind: &'static str,
    /// `info`, `warning`, `error` or `critical`.
    pub severity: &'static str,
    /// One line.
    pub title: String,
    /// Possibly several lines, separated by LF.
    pub message: String,
    /// Whose pipeline it is.
    pub tenant: Option<String>,
    /// Which pipeline.
    pub pipeline_id: Option<String>,
    /// Which run of it: `pipeline_logging_id`.
    pub run: Option<String>,
    /// How long it took, such as `3 min 20 s`.
    pub duration: Option<String>,
    /// What went wrong, possibly several lines, separated by LF.
    pub error: Option<String>,
    /// Which table it is about.
    pub table: Option<String>,
    /// Checks that did not pass, at most 20.
    pub failed_checks: Vec<String>,
    /// How many further checks there are.
    pub more_checks: usize,
    /// Whatever else was said, at most 30.
    pub details: Vec<DetailContext>,
    /// How many further details there are.
    pub more_details: usize,
    /// How many equal messages a cooldown held back since the last one that was told.
    pub held_back: u64,
    /// When Herald took the message in, such as `20 November 2026, 09:30:00 UTC`.
    pub at: String,
}

/// `pipeline.details`: one of the details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DetailContext {
    /// Its key as the publisher gave it.
    pub name: String,
    /// The same for readers: `rows_read` becomes `Rows read`.
    pub label: String,
    /// Its value, one line.
    pub value: String,
}

impl PipelineContext {
    /// The facts, cleaned and worded.
    pub fn new(facts: &PipelineFacts, created_at: DateTime<Utc>, held_back: u64) -> Self {
        let report = &facts.report;
        let title = line(Some(&facts.title), MAX_TITLE);
        let checks = &report.failed_checks;
        Self {
            kind: report.kind.as_str(),
            severity: facts.severity.as_str(),
            message: lines(Some(&facts.message), MAX_TEXT).unwrap_or_default(),
            title: title.unwrap_or_else(|| label(report.kind.as_str(), MAX_TITLE)),
            tenant: facts.tenant_id.as_ref().map(ToString::to_string),
            pipeline_id: line(report.pipeline_id.as_ref(), MAX_NAME),
            run: line(report.pipeline_logging_id.as_ref(), MAX_NAME),
            duration: report.duration_ms.map(duration),
            error: lines(report.error_message.as_ref(), MAX_TEXT),
            table: line(report.table_name.as_ref(), MAX_NAME),
            failed_checks: checks
                .iter()
                .take(MAX_CHECKS)
                .filter_map(|check| line(Some(check), MAX_CHECK))
                .collect(),
            more_checks: checks.len().saturating_sub(MAX_CHECKS),
            details: report
                .details
                .iter()
                .take(MAX_DETAILS)
                .map(DetailContext::new)
                .collect(),
            more_details: report.details.len().saturating_sub(MAX_DETAILS),
            held_back,
            at: utc(created_at),
        }
    }

    /// A report of which everything is known.
    pub fn sample(kind: PipelineKind) -> Self {
        Self::new(&PipelineFacts::sample(kind), DateTime::UNIX_EPOCH, 19)
    }
}

impl DetailContext {
    fn new(detail: &Detail) -> Self {
        let name = one_line(&detail.name, MAX_LABEL);
        Self {
            label: label(&name, MAX_LABEL),
            name,
            value: one_line(&detail.value, MAX_VALUE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cleaned_and_bounded() {
        let mut facts = PipelineFacts::sample(PipelineKind::Failure);
        facts.title = " \u{202e}".to_owned();
        facts.message = "first\r\nsecond\0\n".to_owned() + &"x".repeat(10_000);
        facts.report.error_message = Some("\n".repeat(10_000) + "y");
        facts.report.failed_checks = vec!["null\ncheck".to_owned(); 23];
        facts.report.details = vec![
            Detail {
                name: "rows_read".to_owned(),
                value: "a\r\nb".to_owned() + &"z".repeat(1000),
            };
            33
        ];
        let pipeline = PipelineContext::new(&facts, DateTime::UNIX_EPOCH, 0);
        assert_eq!(pipeline.title, "Pipeline failure");
        assert!(pipeline.message.starts_with("first\nsecond\nxxx"));
        assert_eq!(pipeline.message.chars().count(), MAX_TEXT);
        assert_eq!(pipeline.error.as_deref(), Some("y"));
        assert_eq!((pipeline.failed_checks.len(), pipeline.more_checks), (20, 3));
        assert_eq!(pipeline.failed_checks[0], "null check");
        assert_eq!((pipeline.details.len(), pipeline.more_details), (30, 3));
        assert_eq!(pipeline.details[0].label, "Rows read");
        assert_eq!(pipeline.details[0].value.chars().count(), MAX_VALUE);
        assert_eq!(pipeline.at, "1 January 1970, 00:00:00 UTC");
    }
}
