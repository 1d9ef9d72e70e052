//! JSON as strict as RFC 8259 and RFC 7493 allow: one object, no key twice at any depth, no depth beyond
//! what the stack bears (127 levels), no number beyond a double, nothing behind the object.

use std::fmt;

use indexmap::IndexMap;
use indexmap::map::Entry;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::refusal::quote;
use super::{Reason, Refusal};

/// The members of an object, in their order.
pub(crate) type Object = IndexMap<String, Json>;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Written as an integer within 64 bits.
    Integer(i64),
    /// Any other number.
    Number(serde_json::Number),
    /// A text.
    String(String),
    /// Values in their order.
    Array(Vec<Json>),
    /// Members.
    Object(Object),
}

impl Json {
    /// Its kind, for explanations.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Number(_) => "a number that is no integer of 64 bits",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// For people: a string as it is, anything else as JSON.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::String(text) => text,
            other => other.into_value().to_string(),
        }
    }

    /// The same in the form of the library.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Integer(n) => Value::Number(n.into()),
            Self::Number(n) => Value::Number(n),
            Self::String(text) => Value::String(text),
            Self::Array(items) => items.into_iter().map(Self::into_value).collect(),
            Self::Object(object) => {
                let members = object.into_iter();
                members.map(|(key, value)| (key, value.into_value())).collect()
            }
        }
    }
}

/// Parses the one object that `body` has to be.
pub(crate) fn parse_object(body: &[u8]) -> Result<Object, Refusal> {
    let refuse = |error: &str| Refusal::new(Reason::InvalidJson, error);
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(refuse("the body begins with a byte order mark"));
    }
    let text = std::str::from_utf8(body)
        .map_err(|e| refuse(&format!("the body is not UTF-8 at byte {}", e.valid_up_to())))?;
    if text.trim_ascii().is_empty() {
        return Err(refuse("the body is empty"));
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = Strict
        .deserialize(&mut parser)
        .and_then(|value| parser.end().map(|()| value))
        .map_err(|e| syntax(&e))?;
    match value {
        Json::Object(object) => Ok(object),
        other => Err(refuse(&format!("the body is {}, not an object", other.kind()))),
    }
}

/// A number beyond a double is well-formed JSON, so it is the field that is wrong, not the syntax.
fn syntax(e: &serde_json::Error) -> Refusal {
    let error = e.to_string();
    let reason = if error.starts_with("number out of range") {
        Reason::InvalidField
    } else {
        Reason::InvalidJson
    };
    Refusal::new(reason, &error)
}

#[derive(Clone, Copy)]
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Json, E> {
        Ok(Json::Integer(n))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Json, E> {
        Ok(i64::try_from(n).map_or_else(|_| Json::Number(n.into()), Json::Integer))
    }

    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Json, E> {
        // The parser gives no infinity.
        let number = serde_json::Number::from_f64(n).ok_or_else(|| E::custom("number out of range"))?;
        Ok(Json::Number(number))
    }

    fn visit_str<E>(self, s: &str) -> Result<Json, E> {
        Ok(Json::String(s.to_owned()))
    }

    fn visit_string<E>(self, s: String) -> Result<Json, E> {
        Ok(Json::String(s))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut object = Object::new();
        while let Some(key) = map.next_key::<String>()? {
            match object.entry(key) {
                Entry::Occupied(entry) => {
                    let key = quote(entry.key());
                    return Err(de::Error::custom(format_args!("the key `{key}` stands twice")));
                }
                Entry::Vacant(entry) => {
                    entry.insert(map.next_value_seed(self)?);
                }
            }
        }
        Ok(Json::Object(object))
    }
}
