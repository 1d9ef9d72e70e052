//! What is said about a message that is no valid one.

use super::Reason;
use crate::domain::one_line;

/// Longest explanation, in characters.
const MAX_ERROR: usize = 500;
/// Longest piece of the message that an explanation repeats, in characters.
const MAX_QUOTE: usize = 60;

/// A message that can never be processed: to be dead-lettered with both.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {error}")]
pub struct Refusal {
    /// For programs.
    pub reason: Reason,
    /// For people: one clean line of at most 500 characters that names the field.
    pub error: String,
    /// Which field, by its path such as `changes[0].field`; `None` where it is the body as a whole.
    pub field: Option<String>,
}

impl Refusal {
    /// Cleans and cuts `error`.
    pub fn new(reason: Reason, error: &str) -> Self {
        Self {
            reason,
            error: one_line(error, MAX_ERROR),
            field: None,
        }
    }

    /// `path` is what `wanted` says it is not.
    pub(super) fn field(path: &str, wanted: &str) -> Self {
        Self::new(Reason::InvalidField, &format!("{path}: {wanted}")).at(path)
    }

    /// The same, of the field at `path`.
    pub(super) fn at(self, path: &str) -> Self {
        Self {
            field: Some(one_line(path, MAX_ERROR)),
            ..self
        }
    }
}

/// A piece of the message as an explanation may repeat it.
pub(super) fn quote(text: &str) -> String {
    one_line(text, MAX_QUOTE)
}
