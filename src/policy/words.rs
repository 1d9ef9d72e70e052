//! The title and the sentence of a message that brings none.

use crate::domain::one_line;
use crate::message::{PipelineKind, Report};

/// Longest name of a pipeline in a title, in characters.
const MAX_NAME: usize = 120;

/// Such as `Pipeline failed: daily_ingestion`.
pub(super) fn title(report: &Report) -> String {
    let what = match report.kind {
        PipelineKind::Started => "Pipeline started",
        PipelineKind::Success => "Pipeline succeeded",
        PipelineKind::Failure => "Pipeline failed",
        PipelineKind::Warning => "Pipeline warning",
        PipelineKind::DataQualityFailure => "Data quality check failed",
        PipelineKind::DataQualityWarning => "Data quality warning",
        PipelineKind::RateLimitExceeded => "Rate limit exceeded",
        PipelineKind::SystemError => "System error",
    };
    match name(report.pipeline_id.as_ref()) {
        Some(pipeline) => format!("{what}: {pipeline}"),
        None => what.to_owned(),
    }
}

/// Such as `The pipeline daily_ingestion has failed.`
pub(super) fn sentence(report: &Report) -> String {
    let pipeline = name(report.pipeline_id.as_ref());
    let subject = pipeline
        .as_ref()
        .map_or_else(|| "A pipeline".to_owned(), |p| format!("The pipeline {p}"));
    let place = match (name(report.table_name.as_ref()), &pipeline) {
        (Some(table), Some(pipeline)) => format!(" in the table {table} (pipeline {pipeline})"),
        (Some(table), None) => format!(" in the table {table}"),
        (None, Some(pipeline)) => format!(" in the pipeline {pipeline}"),
        (None, None) => String::new(),
    };
    match report.kind {
        PipelineKind::Started => format!("{subject} has started."),
        PipelineKind::Success => format!("{subject} has succeeded."),
        PipelineKind::Failure => format!("{subject} has failed."),
        PipelineKind::Warning => format!("{subject} has a warning."),
        PipelineKind::DataQualityFailure => format!("A data quality check has failed{place}."),
        PipelineKind::DataQualityWarning => format!("The quality of data may be impaired{place}."),
        PipelineKind::RateLimitExceeded => format!("A rate limit was exceeded{place}."),
        PipelineKind::SystemError => format!("The system has failed{place}."),
    }
}

fn name(text: Option<&String>) -> Option<String> {
    let line = one_line(text?, MAX_NAME);
    (!line.is_empty()).then_some(line)
}
