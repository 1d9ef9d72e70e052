//! Takes the fields of an object one by one, each with its path for explanations. A field that is null
//! counts as absent.

use url::Url;

use super::json::{Json, Object};
use super::money::MoneyError;
use super::refusal::quote;
use super::{Money, Refusal};

/// An object and where it stands in the message.
pub(super) struct Fields {
    object: Object,
    path: String,
}

impl Fields {
    /// The message itself.
    pub(super) fn root(object: Object) -> Self {
        Self {
            object,
            path: String::new(),
        }
    }

    /// The path of `name` in here.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// The refusal that `name` is missing.
    pub(super) fn missing(&self, name: &str) -> Refusal {
        Refusal::field(&self.path(name), "is missing")
    }

    fn take(&mut self, name: &str) -> Option<Json> {
        self.object.swap_remove(name).filter(|v| *v != Json::Null)
    }

    fn wrong(&self, name: &str, wanted: &str, given: &Json) -> Refusal {
        Refusal::field(&self.path(name), &format!("is {}, not {wanted}", given.kind()))
    }

    /// A string, of any content.
    pub(super) fn string(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::String(s)) => Ok(Some(s)),
            Some(other) => Err(self.wrong(name, "a string", &other)),
        }
    }

    /// A string that is there and is not blank.
    pub(super) fn required(&mut self, name: &str) -> Result<String, Refusal> {
        let text = self.string(name)?.ok_or_else(|| self.missing(name))?;
        if text.trim().is_empty() {
            return Err(Refusal::field(&self.path(name), "is empty"));
        }
        Ok(text)
    }

    /// A string that `parse` takes; `wanted` says what that is.
    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.string(name)? else {
            return Ok(None);
        };
        let value = parse(&text);
        let refusal = || Refusal::field(&self.path(name), &format!("`{}` is not {wanted}", quote(&text)));
        value.ok_or_else(refusal).map(Some)
    }

    /// An integer of at least `least`, at most 2^63-1, written as one.
    pub(super) fn integer(&mut self, name: &str, least: i64) -> Result<Option<i64>, Refusal> {
        let wanted = format!("an integer from {least} to 2^63-1");
        match self.take(name) {
            None => Ok(None),
            Some(Json::Integer(n)) if n >= least => Ok(Some(n)),
            Some(Json::Integer(n)) => Err(Refusal::field(&self.path(name), &format!("{n} is not {wanted}"))),
            Some(other) => Err(self.wrong(name, &wanted, &other)),
        }
    }

    /// A number of at least 0, rounded to an integer below 2^63.
    pub(super) fn amount(&mut self, name: &str) -> Result<Option<u64>, Refusal> {
        let wanted = "a number from 0 to 2^63-1";
        match self.take(name) {
            None => Ok(None),
            Some(Json::Integer(n)) if n >= 0 => Ok(Some(n.unsigned_abs())),
            Some(Json::Number(n)) if n.as_f64().is_some_and(|n| (0.0..9.2e18).contains(&n)) =>
            {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "its range was looked at"
                )]
                Ok(n.as_f64().map(|n| n.round() as u64))
            }
            Some(Json::Integer(_) | Json::Number(_)) => {
                Err(Refusal::field(&self.path(name), &format!("is not {wanted}")))
            }
            Some(other) => Err(self.wrong(name, wanted, &other)),
        }
    }

    /// An amount of money.
    pub(super) fn money(&mut self, name: &str) -> Result<Option<Money>, Refusal> {
        self.parsed(name, &MoneyError.to_string(), |s| s.parse().ok())
    }

    /// A web address.
    pub(super) fn url(&mut self, name: &str) -> Result<Option<Url>, Refusal> {
        let Some(text) = self.string(name)? else {
            return Ok(None);
        };
        let url = Url::parse(&text).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        // What it asks for may be a secret.
        let shown = text.split(['?', '#']).next().unwrap_or_default();
        let refusal = || {
            let why = format!("`{}` is not an http or https URL", quote(shown));
            Refusal::field(&self.path(name), &why)
        };
        url.ok_or_else(refusal).map(Some)
    }

    /// An object.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Fields>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Object(object)) => Ok(Some(Fields {
                object,
                path: format!("{}.", self.path(name)),
            })),
            Some(other) => Err(self.wrong(name, "an object", &other)),
        }
    }

    /// The members of an object of at most `most`, as texts, in their order; absent counts as empty.
    pub(super) fn texts(&mut self, name: &str, most: usize) -> Result<Vec<(String, String)>, Refusal> {
        let object = match self.take(name) {
            None => return Ok(Vec::new()),
            Some(Json::Object(object)) => object,
            Some(other) => return Err(self.wrong(name, "an object", &other)),
        };
        self.at_most(name, object.len(), most)?;
        let members = object.into_iter();
        Ok(members.map(|(key, value)| (key, value.into_text())).collect())
    }

    /// An array of at most `most` strings; absent counts as empty.
    pub(super) fn strings(&mut self, name: &str, most: usize) -> Result<Vec<String>, Refusal> {
        let items = self.array(name, most)?.into_iter().enumerate();
        items
            .map(|(i, item)| match item {
                Json::String(text) => Ok(text),
                other => Err(self.wrong(&format!("{name}[{i}]"), "a string", &other)),
            })
            .collect()
    }

    fn array(&mut self, name: &str, most: usize) -> Result<Vec<Json>, Refusal> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Json::Array(items)) => self.at_most(name, items.len(), most).map(|()| items),
            Some(other) => Err(self.wrong(name, "an array", &other)),
        }
    }

    fn at_most(&self, name: &str, there: usize, most: usize) -> Result<(), Refusal> {
        if there > most {
            let error = format!("has {there} entries, {most} at most are taken");
            return Err(Refusal::field(&self.path(name), &error));
        }
        Ok(())
    }

    /// An array of at most `most` objects, each read by `read`; absent counts as empty.
    pub(super) fn objects<T>(
        &mut self,
        name: &str,
        most: usize,
        mut read: impl FnMut(Fields) -> Result<T, Refusal>,
    ) -> Result<Vec<T>, Refusal> {
        let items = self.array(name, most)?;
        let mut values = Vec::with_capacity(items.len());
        for (i, item) in items.into_iter().enumerate() {
            let entry = format!("{name}[{i}]");
            match item {
                Json::Object(object) => values.push(read(Fields {
                    object,
                    path: format!("{}.", self.path(&entry)),
                })?),
                other => return Err(self.wrong(&entry, "an object", &other)),
            }
        }
        Ok(values)
    }
}
