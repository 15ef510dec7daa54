//! The values that travel between Rust and either engine.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// One value of a row or a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL. As a parameter it is written into the statement, so it fits a column of any type.
    Null,
    /// A boolean; SQLite keeps it as 0 or 1.
    Bool(bool),
    /// Any integer, smallint to bigint.
    Int(i64),
    /// Any real number, also `numeric`.
    Float(f64),
    /// Text of any kind.
    Text(String),
    /// A moment; SQLite keeps it as UTC text of fixed width, so text order is time order.
    Time(DateTime<Utc>),
    /// A time without zone, as PanDA's tables have it (UTC by their convention).
    Naive(NaiveDateTime),
    /// A UUID; SQLite keeps it as hyphenated text.
    Uuid(Uuid),
    /// A JSON document; SQLite keeps it as text.
    Json(serde_json::Value),
}

/// How SQLite stores moments: UTC, microseconds always written.
pub(crate) const TIME_TEXT: &str = "%Y-%m-%dT%H:%M:%S%.6f+00:00";
/// How SQLite stores times without zone.
pub(crate) const NAIVE_TEXT: &str = "%Y-%m-%dT%H:%M:%S%.6f";

impl Value {
    /// True for SQL NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The value with every NUL character made visible (U+FFFD): PostgreSQL stores none, neither in text nor
    /// in JSON, and both engines shall hold the same.
    pub(crate) fn without_nul(self) -> Value {
        match self {
            Value::Text(text) => Value::Text(visible(text)),
            Value::Json(json) => Value::Json(visible_json(json)),
            other => other,
        }
    }
}

fn visible(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

fn visible_json(json: serde_json::Value) -> serde_json::Value {
    use serde_json::Value as J;
    match json {
        J::String(text) => J::String(visible(text)),
        J::Array(items) => J::Array(items.into_iter().map(visible_json).collect()),
        J::Object(fields) => {
            J::Object(fields.into_iter().map(|(k, v)| (visible(k), visible_json(v))).collect())
        }
        other => other,
    }
}

macro_rules! from {
    ($($type:ty => $make:expr),* $(,)?) => {
        $(impl From<$type> for Value {
            fn from(v: $type) -> Value { let make: fn($type) -> Value = $make; make(v) }
        })*
    };
}
from! {
    bool => Value::Bool,
    i16 => |v| Value::Int(v.into()),
    i32 => |v| Value::Int(v.into()),
    i64 => Value::Int,
    u32 => |v| Value::Int(v.into()),
    f64 => Value::Float,
    String => Value::Text,
    &str => |v| Value::Text(v.to_owned()),
    &String => |v| Value::Text(v.clone()),
    DateTime<Utc> => Value::Time,
    NaiveDateTime => Value::Naive,
    Uuid => Value::Uuid,
    serde_json::Value => Value::Json,
    Json => |v| Value::Json(v.0),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Value {
        v.map_or(Value::Null, Into::into)
    }
}

/// A JSON document in a row: a field of this type is read as JSON from either engine
/// (SQLite has only text, so a plain `serde_json::Value` field would come back as a string).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Json(pub serde_json::Value);

/// The name by which the row deserialiser recognises a [`Json`] field.
pub(crate) const JSON_NEWTYPE: &str = "swf_db::Json";

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Json;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON document")
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<Json, D::Error> {
                serde_json::Value::deserialize(d).map(Json)
            }
        }
        deserializer.deserialize_newtype_struct(JSON_NEWTYPE, Visitor)
    }
}

/// Brings the keys of every object into the order in which PostgreSQL's `jsonb` keeps them (shorter first,
/// then by bytes), so that both engines give the same text back.
pub(crate) fn jsonb_order(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => {
            let mut pairs: Vec<_> = map.into_iter().map(|(k, v)| (k, jsonb_order(v))).collect();
            pairs.sort_by(|(a, _), (b, _)| (a.len(), a.as_bytes()).cmp(&(b.len(), b.as_bytes())));
            serde_json::Value::Object(pairs.into_iter().collect())
        }
        serde_json::Value::Array(items) => {
            serde_json::Value::Array(items.into_iter().map(jsonb_order).collect())
        }
        other => other,
    }
}

impl schemars::JsonSchema for Json {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Json".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        true.into()
    }
    fn inline_schema() -> bool {
        true
    }
}
