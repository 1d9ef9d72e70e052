//! Takes the keys of an object one by one, each with its path, and remembers every problem on the way. A key
//! whose value is null counts as absent.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use super::placeholders;
use crate::config::Environment;
use crate::domain::one_line;
use crate::message::json::{Json, Object};
use crate::policy::KeyProblem;

/// Problems of one file at most; what is beyond is counted.
const MAX_PROBLEMS: usize = 100;
/// Longest piece of a file that a problem repeats, in characters.
const MAX_QUOTE: usize = 60;

/// What the parts of one file share.
pub(super) struct Notes<'a> {
    environment: &'a Environment,
    problems: RefCell<Vec<KeyProblem>>,
    more: RefCell<usize>,
}

impl<'a> Notes<'a> {
    pub(super) fn new(environment: &'a Environment) -> Self {
        Self {
            environment,
            problems: RefCell::default(),
            more: RefCell::default(),
        }
    }

    /// `value`, if nothing was wrong.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Vec<KeyProblem>> {
        let mut problems = self.problems.into_inner();
        let more = self.more.into_inner();
        if more > 0 {
            problems.push(KeyProblem {
                path: String::new(),
                reason: format!("{more} further problems"),
            });
        }
        if problems.is_empty() {
            Ok(value)
        } else {
            Err(problems)
        }
    }

    fn add(&self, path: String, reason: String) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < MAX_PROBLEMS {
            problems.push(KeyProblem { path, reason });
        } else {
            *self.more.borrow_mut() += 1;
        }
    }
}

/// An object and where it stands in the file.
pub(super) struct Keys<'a> {
    object: Object,
    path: String,
    known: Vec<&'static str>,
    notes: &'a Notes<'a>,
}

impl<'a> Keys<'a> {
    /// The file itself.
    pub(super) fn root(object: Object, notes: &'a Notes<'a>) -> Self {
        Self::at(String::new(), object, notes)
    }

    fn at(path: String, object: Object, notes: &'a Notes<'a>) -> Self {
        Self {
            object,
            path,
            known: Vec::new(),
            notes,
        }
    }

    /// The path of `name` in here.
    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// Notes what is wrong with `name`.
    pub(super) fn problem(&self, name: &str, reason: impl Into<String>) {
        self.notes.add(self.path(name), reason.into());
    }

    /// Whether `name` stands here and was not yet taken.
    pub(super) fn has(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(|value| *value != Json::Null)
    }

    /// Whether `name` is a list without entries.
    pub(super) fn has_empty(&self, name: &str) -> bool {
        matches!(self.object.get(name), Some(Json::Array(items)) if items.is_empty())
    }

    fn take(&mut self, name: &'static str) -> Option<Json> {
        self.known.push(name);
        self.object.shift_remove(name).filter(|v| *v != Json::Null)
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, name: &'static str) -> Option<bool> {
        match self.take(name)? {
            Json::Bool(value) => Some(value),
            other => self.wrong(name, "true or false", &other),
        }
    }

    /// A number that `fits`; `wanted` says which do.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        wanted: &str,
        fits: impl FnOnce(f64) -> bool,
    ) -> Option<f64> {
        let given = self.take(name)?;
        match as_number(&given) {
            Some(n) if fits(n) => Some(n),
            Some(n) => {
                self.problem(name, format!("takes {wanted}, not {n}"));
                None
            }
            None => self.wrong(name, wanted, &given),
        }
    }

    /// An integral number within `range`; `3.0` is one.
    pub(super) fn integer(&mut self, name: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let wanted = format!("an integer from {} to {}", range.start(), range.end());
        let (least, most) = (f64::from(*range.start()), f64::from(*range.end()));
        let fits = |n: f64| n.fract() == 0.0 && (least..=most).contains(&n);
        let n = self.number(name, &wanted, fits)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "its range was looked at"
        )]
        Some(n as u32)
    }

    /// A string that `parse` takes, which otherwise says what it would have taken. A problem shows it as it
    /// stands in the file.
    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let given = self.take(name)?;
        self.parse_text(name, given, parse)
    }

    /// The same of a secret, which no problem shows.
    pub(super) fn secret<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = match self.take(name)? {
            Json::String(text) => text,
            other => return self.wrong(name, "a string", &other),
        };
        let filled = placeholders::fill(&text, self.notes.environment);
        let parsed = filled.and_then(|value| parse(&value).map_err(|wanted| format!("takes {wanted}")));
        parsed.map_err(|reason| self.problem(name, reason)).ok()
    }

    /// A list of at most `most` strings that `parse` takes; absent counts as empty.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        most: usize,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let items = self.array(name, most)?.into_iter().enumerate();
        let parsed = items.map(|(i, item)| self.parse_text(&format!("{name}[{i}]"), item, &parse));
        // All are looked at, so that all problems are known.
        Some(parsed.collect::<Vec<_>>().into_iter().flatten().collect())
    }

    /// An object.
    pub(super) fn section(&mut self, name: &'static str) -> Option<Keys<'a>> {
        let given = self.take(name)?;
        self.as_section(name, given)
    }

    /// A list of at most `most` objects; absent counts as empty.
    pub(super) fn sections(&mut self, name: &'static str, most: usize) -> Vec<Keys<'a>> {
        let items = self.array(name, most).unwrap_or_default();
        let sections = items.into_iter().enumerate();
        sections
            .filter_map(|(i, item)| self.as_section(&format!("{name}[{i}]"), item))
            .collect()
    }

    /// Refuses what nobody took, and names what was probably meant.
    pub(super) fn finish(self) {
        for name in self.object.keys() {
            let reason = match nearest(name, &self.known) {
                Some(near) => format!("unknown key; did you mean {near}?"),
                None => format!("unknown key; known are {}", self.known.join(", ")),
            };
            self.problem(&one_line(name, MAX_QUOTE), reason);
        }
    }

    fn array(&mut self, name: &'static str, most: usize) -> Option<Vec<Json>> {
        match self.take(name)? {
            Json::Array(items) if items.len() <= most => Some(items),
            Json::Array(items) => {
                let there = items.len();
                self.problem(
                    name,
                    format!("takes a list of at most {most} entries, not {there}"),
                );
                None
            }
            other => self.wrong(name, "a list", &other),
        }
    }

    fn as_section(&self, name: &str, given: Json) -> Option<Keys<'a>> {
        match given {
            Json::Object(object) => {
                let path = format!("{}.", self.path(name));
                Some(Self::at(path, object, self.notes))
            }
            other => self.wrong(name, "an object", &other),
        }
    }

    fn parse_text<T>(
        &self,
        name: &str,
        given: Json,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = match given {
            Json::String(text) => text,
            other => return self.wrong(name, "a string", &other),
        };
        let shown = one_line(&text, MAX_QUOTE);
        let filled = placeholders::fill(&text, self.notes.environment);
        let parsed =
            filled.and_then(|value| parse(&value).map_err(|wanted| format!("takes {wanted}, not `{shown}`")));
        parsed.map_err(|reason| self.problem(name, reason)).ok()
    }

    /// The kind alone is named: what stands in a wrong place may be a secret.
    fn wrong<T>(&self, name: &str, wanted: &str, given: &Json) -> Option<T> {
        let kind = match given {
            Json::Array(_) => "a list",
            Json::Number(_) => "a number",
            other => other.kind(),
        };
        self.problem(name, format!("takes {wanted}, not {kind}"));
        None
    }
}

fn as_number(value: &Json) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "what is beyond 2^53 is refused anyway")]
        Json::Integer(n) => Some(*n as f64),
        Json::Number(n) => n.as_f64(),
        _ => None,
    }
}

/// The candidate that `word` is probably a slip of.
pub(super) fn nearest<'c>(word: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let length = word.chars().count();
    if length > MAX_QUOTE {
        return None;
    }
    let word = word.to_lowercase();
    let near = candidates.iter().filter_map(|candidate| {
        let known = candidate.to_lowercase();
        let distance = strsim::damerau_levenshtein(&word, &known);
        let part = length > 2 && (known.contains(&word) || word.contains(&known));
        (part || distance <= (length / 2).max(1)).then_some((distance, *candidate))
    });
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("smpt_host", Some("smtp_host"))]
    #[case("SMTP_PORT", Some("smtp_port"))]
    #[case("smtp", Some("smtp_host"))]
    #[case("host", Some("smtp_host"))]
    #[case("is_enabled", Some("enabled"))]
    #[case("zzz", None)]
    #[case("", None)]
    fn nearest_keys(#[case] word: &str, #[case] near: Option<&str>) {
        assert_eq!(nearest(word, &["enabled", "smtp_host", "smtp_port"]), near);
        assert_eq!(nearest(&"smtp_host".repeat(40_000), &["smtp_host"]), None);
    }
}
