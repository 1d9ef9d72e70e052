//! Looks variables up one by one and remembers every problem on the way.

use std::fmt;

use super::values;
use crate::domain::one_line;

/// One thing that has to be put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable, or the line of `.env`.
    pub variable: String,
    /// What it takes; never the value of a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.message)
    }
}

/// All problems of a configuration, never empty. To be shown as it is; the program then exits with 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(Vec<Problem>);

impl ConfigErrors {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self(problems)
    }

    /// The problems, in the order in which the variables are read.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(
            f,
            "the configuration has {count} problem{}:",
            if count == 1 { "" } else { "s" }
        )?;
        self.0.iter().try_for_each(|p| write!(f, "\n  {p}"))
    }
}

/// What a variable would have taken, worded to follow its name.
pub(super) type Takes = String;

/// Reads variables through a lookup function and gathers the problems.
pub(super) struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lookup,
            problems: Vec::new(),
        }
    }

    /// The problems so far.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The value as it stands, empty or not.
    pub(super) fn raw(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
    }

    /// The value; empty counts as unset.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.raw(name).filter(|v| !v.is_empty())
    }

    /// Notes what `name` would have taken.
    pub(super) fn problem(&mut self, name: &str, message: impl Into<String>) {
        self.problems.push(Problem {
            variable: name.to_owned(),
            message: message.into(),
        });
    }

    /// The parsed value, `None` when unset or wrong. The value is shown in the problem.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Takes>,
    ) -> Option<T> {
        let value = self.text(name)?;
        self.checked(name, &value, parse)
    }

    /// The parsed value, or `default` when unset or wrong. The value is shown in the problem.
    pub(super) fn value<T>(
        &mut self,
        name: &str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, Takes>,
    ) -> T {
        self.optional(name, parse).unwrap_or(default)
    }

    /// Parses `value`, which is no secret, as that of `name`.
    pub(super) fn checked<T>(
        &mut self,
        name: &str,
        value: &str,
        parse: impl FnOnce(&str) -> Result<T, Takes>,
    ) -> Option<T> {
        parse(value.trim())
            .map_err(|takes| self.problem(name, format!("takes {takes}, not `{}`", one_line(value, 60))))
            .ok()
    }

    /// The parsed secret, `None` when unset or wrong. The value stays out of the problem.
    pub(super) fn secret<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Takes>,
    ) -> Option<T> {
        let value = self.text(name)?;
        parse(&value)
            .map_err(|takes| self.problem(name, format!("takes {takes}")))
            .ok()
    }

    /// A boolean.
    pub(super) fn boolean(&mut self, name: &str, default: bool) -> bool {
        self.value(name, default, values::boolean)
    }
}
