//! What stands behind the `?`: every parameter is known, well formed and there once, or the request is refused.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use url::form_urlencoded;

use super::problem::Problem;

/// Largest page.
const MAX_PAGE_SIZE: u32 = 100;
/// Highest page.
const MAX_PAGE: u32 = 1_000_000_000;
/// Longest text that is looked for, in characters.
const MAX_TEXT: usize = 320;

/// Parameters that were not yet asked for.
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Which page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paging {
    /// From 1.
    pub(super) page: u32,
    /// From 1 to 100.
    pub(super) size: u32,
}

impl<'a> Query<'a> {
    /// Splits it up.
    pub(super) fn new(raw: Option<&'a str>) -> Result<Self, Problem> {
        let mut pairs: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
            if pairs.iter().any(|(seen, _)| *seen == name) {
                return Err(Problem::bad_query(&name, "may be given once"));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let at = self.0.iter().position(|(given, _)| given == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// A value of a type that says itself what is wrong.
    pub(super) fn word<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        let parse = |value: Cow<'_, str>| {
            let parsed = value.parse::<T>();
            parsed.map_err(|e| Problem::bad_query(name, &format!("is not valid: {e}")))
        };
        self.take(name).map(parse).transpose()
    }

    /// A text that is looked for as it is. No database has one with a control character.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        if value.chars().count() > MAX_TEXT || value.chars().any(char::is_control) {
            let takes = format!("takes a text of at most {MAX_TEXT} characters without control characters");
            return Err(Problem::bad_query(name, &takes));
        }
        Ok(Some(value.into_owned()))
    }

    /// `page` and `page_size`.
    pub(super) fn paging(&mut self) -> Result<Paging, Problem> {
        Ok(Paging {
            page: self.number("page", MAX_PAGE)?.unwrap_or(1),
            size: self.number("page_size", MAX_PAGE_SIZE)?.unwrap_or(20),
        })
    }

    fn number(&mut self, name: &str, max: u32) -> Result<Option<u32>, Problem> {
        let parse = |value: Cow<'_, str>| {
            let digits = value.bytes().all(|b| b.is_ascii_digit());
            let number = value.parse().ok().filter(|n| digits && (1..=max).contains(n));
            number.ok_or_else(|| Problem::bad_query(name, &format!("takes a number from 1 to {max}")))
        };
        self.take(name).map(parse).transpose()
    }

    /// Refuses what nobody asked for.
    pub(super) fn end(self) -> Result<(), Problem> {
        match self.0.first() {
            Some((name, _)) => Err(Problem::bad_query(name, "is not a parameter here")),
            None => Ok(()),
        }
    }
}
