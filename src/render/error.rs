//! What can be wrong with templates: found at start ([`TemplateError`]) or with one e-mail
//! ([`RenderError`]).

use std::fmt;

use tera::{Error, ErrorKind};

use crate::domain::TenantId;

/// The templates cannot be used; lists every problem that was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct TemplateError {
    /// Whose they are, where it is not the base set.
    pub tenant: Option<TenantId>,
    /// At least one.
    pub problems: Vec<TemplateProblem>,
}

/// One file and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateProblem {
    /// The file's name within its folder, or that folder itself.
    pub file: String,
    /// For the person who wrote it.
    pub reason: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tenant {
            Some(tenant) => write!(f, "the templates of the tenant {tenant} cannot be used:")?,
            None => f.write_str("the templates cannot be used:")?,
        }
        for TemplateProblem { file, reason } in &self.problems {
            write!(f, "\n  {file}: {reason}")?;
        }
        Ok(())
    }
}

/// Why an e-mail could not be made. Final for its recipient: the same facts give the same error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A template failed on what it was given, such as a variable that is not there.
    #[error("template {file}: {reason}")]
    Template {
        /// The template's file name.
        file: String,
        /// What it stumbled over.
        reason: String,
    },
    /// A template wrote more than one e-mail may hold.
    #[error("template {file}: the result exceeds {limit} bytes")]
    TooLarge {
        /// The template's file name.
        file: String,
        /// Bytes allowed.
        limit: usize,
    },
    /// A template wrote nothing.
    #[error("template {file}: the result is empty")]
    Empty {
        /// The template's file name.
        file: String,
    },
    /// No template goes by this name.
    #[error("there is no template {name:?}; there are {known}")]
    UnknownTemplate {
        /// As asked for.
        name: String,
        /// All names, separated by commas.
        known: String,
    },
}

impl RenderError {
    /// An error of the engine while it rendered `entry`, laid at the file where it happened.
    pub(super) fn from_engine(entry: &str, error: &Error) -> Self {
        let TemplateProblem { file, reason } = TemplateProblem::from_engine(entry, error);
        Self::Template { file, reason }
    }

    /// The same as a problem of the template set.
    pub(super) fn into_problem(self) -> TemplateProblem {
        let reason = match &self {
            Self::Template { reason, .. } => reason.clone(),
            Self::TooLarge { limit, .. } => format!("the result exceeds {limit} bytes"),
            Self::Empty { .. } => "the result is empty".to_owned(),
            Self::UnknownTemplate { .. } => self.to_string(),
        };
        match self {
            Self::Template { file, .. } | Self::TooLarge { file, .. } | Self::Empty { file } => {
                TemplateProblem { file, reason }
            }
            Self::UnknownTemplate { name, .. } => TemplateProblem { file: name, reason },
        }
    }
}

impl TemplateProblem {
    /// An error of the engine, with its line, laid at the file that it names, else at `file`.
    pub(super) fn from_engine(file: &str, error: &Error) -> Self {
        let (named, reason) = match error.kind() {
            ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => (
                report.filename(),
                format!("line {}: {}", report.span().start_line, report.message()),
            ),
            ErrorKind::CircularExtend { tpl, .. } => (tpl.as_str(), "extends itself".to_owned()),
            ErrorKind::CircularInclude { tpl, .. } => (tpl.as_str(), "includes itself".to_owned()),
            ErrorKind::MissingParent { current, parent } => (
                current.as_str(),
                format!("extends {parent:?}, which is no template"),
            ),
            other => (file, other.to_string()),
        };
        let file = if named.is_empty() { file } else { named };
        Self {
            file: file.to_owned(),
            reason,
        }
    }

    /// The same of an error about a whole set, which comes as one text of several reports.
    pub(super) fn all_from_engine(set: &str, error: &Error) -> Vec<Self> {
        let ErrorKind::Msg(reports) = error.kind() else {
            return vec![Self::from_engine(set, error)];
        };
        let one = |report: &str| {
            Self::from_report(report).unwrap_or_else(|| Self {
                file: set.to_owned(),
                reason: report.to_owned(),
            })
        };
        reports.split("\n\n").map(one).collect()
    }

    /// Reads `error: REASON`, and on the next line `--> FILE:LINE:COLUMN`.
    fn from_report(report: &str) -> Option<Self> {
        let mut lines = report.lines();
        let reason = lines.next()?.strip_prefix("error: ")?;
        let mut place = lines.next()?.trim_start().strip_prefix("--> ")?.rsplitn(3, ':');
        let (_column, line, file) = (place.next()?, place.next()?, place.next()?);
        Some(Self {
            file: file.to_owned(),
            reason: format!("line {line}: {reason}"),
        })
    }
}
