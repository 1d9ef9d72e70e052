//! JSON as strict as RFC 8259 and RFC 7493 allow: one object, no key twice at any depth, no depth beyond
//! what the stack bears (127 levels), no number beyond a double, nothing behind the object.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::refusal::quote;
use super::{Reason, Refusal};

/// The members of an object.
pub(super) type Object = HashMap<String, Json>;

/// A value. Of numbers only the integers matter here.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool,
    /// Written as an integer within 64 bits.
    Integer(i64),
    /// Any other number.
    Number,
    String(String),
    Array(Vec<Json>),
    Object(Object),
}

impl Json {
    /// Its kind, for explanations.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Number => "a number that is no integer of 64 bits",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// Parses the one object that `body` has to be.
pub(super) fn parse_object(body: &[u8]) -> Result<Object, Refusal> {
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

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Bool)
    }

    fn visit_i64<E>(self, n: i64) -> Result<Json, E> {
        Ok(Json::Integer(n))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Json, E> {
        Ok(i64::try_from(n).map_or(Json::Number, Json::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Number)
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
