//! Takes the fields of an object one by one, each with its path for explanations. A field that is null
//! counts as absent.

use url::Url;

use super::Refusal;
use super::json::{Json, Object};
use super::refusal::quote;

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
        self.object.remove(name).filter(|v| *v != Json::Null)
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

    /// A web address.
    pub(super) fn url(&mut self, name: &str) -> Result<Option<Url>, Refusal> {
        self.parsed(name, "an http or https URL", |s| {
            let url = Url::parse(s).ok()?;
            matches!(url.scheme(), "http" | "https").then_some(url)
        })
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

    /// An array of at most `most` objects, each read by `read`; absent counts as empty.
    pub(super) fn objects<T>(
        &mut self,
        name: &str,
        most: usize,
        mut read: impl FnMut(Fields) -> Result<T, Refusal>,
    ) -> Result<Vec<T>, Refusal> {
        let items = match self.take(name) {
            None => return Ok(Vec::new()),
            Some(Json::Array(items)) => items,
            Some(other) => return Err(self.wrong(name, "an array", &other)),
        };
        if items.len() > most {
            let error = format!("has {} entries, {most} at most are taken", items.len());
            return Err(Refusal::field(&self.path(name), &error));
        }
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
