//! A row of either engine, and its deserialisation into any struct whose fields are named like the columns.

use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use sqlx::postgres::{PgRow, PgValueFormat, PgValueRef};
use sqlx::sqlite::SqliteRow;
use sqlx::{Column, Row as _, TypeInfo, ValueRef};
use uuid::Uuid;

use crate::value::JSON_NEWTYPE;
use crate::{Error, Value};

/// One row: column names and values.
#[derive(Debug, Clone)]
pub struct Row {
    names: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    /// Column names in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Values in column order.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Values in column order, by value.
    pub fn into_values(self) -> Vec<Value> {
        self.values
    }

    /// The value of a column by name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let at = self.names.iter().position(|n| n == name)?;
        self.values.get(at)
    }

    /// Reads the row into a struct (by column name), a tuple (by position) or a single value (first column).
    pub fn read<T: DeserializeOwned>(self) -> Result<T, Error> {
        T::deserialize(RowDeserializer(self)).map_err(|e| Error::Row(e.to_string()))
    }

    pub(crate) fn names_of<C: Column>(columns: &[C]) -> Arc<[String]> {
        columns.iter().map(|c| c.name().to_owned()).collect()
    }

    pub(crate) fn from_postgres(names: Arc<[String]>, row: &PgRow) -> Result<Row, sqlx::Error> {
        let values = (0..names.len()).map(|i| postgres_value(row, i)).collect::<Result<_, _>>()?;
        Ok(Row { names, values })
    }

    pub(crate) fn from_sqlite(names: Arc<[String]>, row: &SqliteRow) -> Result<Row, sqlx::Error> {
        let values = (0..names.len()).map(|i| sqlite_value(row, i)).collect::<Result<_, _>>()?;
        Ok(Row { names, values })
    }
}

fn postgres_value(row: &PgRow, i: usize) -> Result<Value, sqlx::Error> {
    let raw: PgValueRef<'_> = row.try_get_raw(i)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let kind = raw.type_info().name().to_owned();
    Ok(match kind.as_str() {
        "BOOL" => Value::Bool(row.try_get(i)?),
        "INT2" => Value::Int(row.try_get::<i16, _>(i)?.into()),
        "INT4" => Value::Int(row.try_get::<i32, _>(i)?.into()),
        "INT8" => Value::Int(row.try_get(i)?),
        "FLOAT4" => Value::Float(row.try_get::<f32, _>(i)?.into()),
        "FLOAT8" => Value::Float(row.try_get(i)?),
        "TIMESTAMPTZ" => Value::Time(row.try_get::<DateTime<Utc>, _>(i)?),
        "TIMESTAMP" => Value::Naive(row.try_get::<NaiveDateTime, _>(i)?),
        "UUID" => Value::Uuid(row.try_get::<Uuid, _>(i)?),
        "JSON" | "JSONB" => Value::Json(row.try_get(i)?),
        "NUMERIC" => numeric(&raw),
        "INET" => inet(&raw),
        "TEXT" | "VARCHAR" | "BPCHAR" | "NAME" | "UNKNOWN" | "CHAR" => Value::Text(row.try_get(i)?),
        other => {
            return Err(sqlx::Error::Decode(
                format!("column {} has type {other}; cast it to text in the statement", row.column(i).name())
                    .into(),
            ));
        }
    })
}

/// Reads a `numeric` as the double nearest to it: `ndigits, weight, sign, dscale`, then base-10000 digits.
/// By way of decimal text, because summing up the digits would round more than once.
fn numeric(raw: &PgValueRef<'_>) -> Value {
    let Ok(bytes) = raw.as_bytes() else { return Value::Null };
    if raw.format() == PgValueFormat::Text {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        return text.parse().map_or(Value::Null, Value::Float);
    }
    let word = |at: usize| match bytes.get(at..at + 2) {
        Some([a, b]) => u16::from_be_bytes([*a, *b]),
        _ => 0,
    };
    let (digits, weight, sign) = (word(0), word(2).cast_signed(), word(4));
    if !matches!(sign, 0 | 0x4000) {
        return Value::Null;
    }
    let mut text = String::from(if sign == 0 { "0" } else { "-0" });
    for digit in 0..usize::from(digits) {
        text.push_str(&format!("{:04}", word(8 + 2 * digit)));
    }
    let exponent = (i32::from(weight) + 1 - i32::from(digits)) * 4;
    text.push_str(&format!("e{exponent}"));
    text.parse().map_or(Value::Null, Value::Float)
}

/// Reads an `inet` as text: `family, prefix length, is cidr, length`, then the address. The prefix is
/// written when it is not that of a single host, as PostgreSQL does.
fn inet(raw: &PgValueRef<'_>) -> Value {
    let Ok(bytes) = raw.as_bytes() else { return Value::Null };
    if raw.format() == PgValueFormat::Text {
        return Value::Text(String::from_utf8_lossy(bytes).into_owned());
    }
    let prefix = bytes.get(1).copied().unwrap_or_default();
    let address = bytes.get(4..).unwrap_or_default();
    let (address, single) = match (<[u8; 4]>::try_from(address), <[u8; 16]>::try_from(address)) {
        (Ok(four), _) => (std::net::IpAddr::from(four), 32),
        (_, Ok(sixteen)) => (std::net::IpAddr::from(sixteen), 128),
        _ => return Value::Null,
    };
    Value::Text(if prefix == single { address.to_string() } else { format!("{address}/{prefix}") })
}

fn sqlite_value(row: &SqliteRow, i: usize) -> Result<Value, sqlx::Error> {
    let raw = row.try_get_raw(i)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    // The stored class decides, not the declared type.
    let kind = raw.type_info().name().to_owned();
    Ok(match kind.as_str() {
        "INTEGER" | "BOOLEAN" | "INT8" | "INT4" => Value::Int(row.try_get_unchecked(i)?),
        "REAL" | "NUMERIC" => Value::Float(row.try_get_unchecked(i)?),
        "BLOB" => Value::Text(String::from_utf8_lossy(row.try_get_unchecked::<&[u8], _>(i)?).into_owned()),
        _ => Value::Text(row.try_get_unchecked(i)?),
    })
}

type DeError = serde::de::value::Error;

struct RowDeserializer(Row);

impl<'de> Deserializer<'de> for RowDeserializer {
    type Error = DeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        visitor.visit_map(Columns { row: self.0, at: 0 })
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        let values = self.0.values.into_iter().map(ValueDeserializer);
        visitor.visit_seq(serde::de::value::SeqDeserializer::new(values))
    }
    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DeError> {
        self.deserialize_seq(visitor)
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DeError> {
        first(self.0)?.deserialize_newtype_struct(name, visitor)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        first(self.0)?.deserialize_option(visitor)
    }
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        first(self.0)?.deserialize_bool(visitor)
    }
    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        first(self.0)?.deserialize_any(visitor)
    }
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        first(self.0)?.deserialize_f64(visitor)
    }
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        first(self.0)?.deserialize_str(visitor)
    }
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        first(self.0)?.deserialize_str(visitor)
    }
    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 char bytes byte_buf unit unit_struct
        tuple_struct map struct enum identifier ignored_any
    }
}

fn first(row: Row) -> Result<ValueDeserializer, DeError> {
    let value = row.values.into_iter().next();
    value.map(ValueDeserializer).ok_or_else(|| serde::de::Error::custom("the row has no column"))
}

struct Columns {
    row: Row,
    at: usize,
}

impl<'de> MapAccess<'de> for Columns {
    type Error = DeError;

    fn next_key_seed<K: serde::de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DeError> {
        match self.row.names.get(self.at) {
            Some(name) => seed.deserialize(name.as_str().into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: serde::de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DeError> {
        let at = self.at;
        self.at += 1;
        let value = self.row.values.get_mut(at).map(|v| std::mem::replace(v, Value::Null));
        let name = self.row.names.get(at).cloned().unwrap_or_default();
        seed.deserialize(ValueDeserializer(value.unwrap_or(Value::Null)))
            .map_err(|e| serde::de::Error::custom(format!("column {name}: {e}")))
    }
}

struct ValueDeserializer(Value);

impl IntoDeserializer<'_, DeError> for ValueDeserializer {
    type Deserializer = ValueDeserializer;
    fn into_deserializer(self) -> ValueDeserializer {
        self
    }
}

impl ValueDeserializer {
    /// The value as JSON: what SQLite keeps as text is parsed.
    fn json(self) -> Result<serde_json::Value, DeError> {
        match self.0 {
            Value::Json(j) => Ok(j),
            Value::Text(t) => serde_json::from_str(&t).map_err(serde::de::Error::custom),
            Value::Null => Ok(serde_json::Value::Null),
            Value::Int(i) => Ok(i.into()),
            Value::Float(f) => Ok(f.into()),
            Value::Bool(b) => Ok(b.into()),
            other => Err(serde::de::Error::custom(format!("{other:?} is not JSON"))),
        }
    }
}

impl<'de> Deserializer<'de> for ValueDeserializer {
    type Error = DeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(b),
            Value::Int(i) => visitor.visit_i64(i),
            Value::Float(f) => visitor.visit_f64(f),
            Value::Text(t) => visitor.visit_string(t),
            Value::Time(t) => visitor.visit_string(t.to_rfc3339()),
            Value::Naive(t) => visitor.visit_string(t.format("%Y-%m-%dT%H:%M:%S%.f").to_string()),
            Value::Uuid(u) => visitor.visit_string(u.to_string()),
            Value::Json(j) => j.deserialize_any(visitor).map_err(serde::de::Error::custom),
        }
    }
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match self.0 {
            Value::Int(i) => visitor.visit_bool(i != 0),
            _ => self.deserialize_any(visitor),
        }
    }
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match self.0 {
            Value::Int(i) => visitor.visit_f64(i as f64),
            _ => self.deserialize_any(visitor),
        }
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DeError> {
        if name == JSON_NEWTYPE {
            let json = self.json()?;
            return visitor.visit_newtype_struct(json).map_err(serde::de::Error::custom);
        }
        visitor.visit_newtype_struct(self)
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        self.json()?.deserialize_seq(visitor).map_err(serde::de::Error::custom)
    }
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        self.json()?.deserialize_map(visitor).map_err(serde::de::Error::custom)
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeError> {
        self.json()?.deserialize_struct(name, fields, visitor).map_err(serde::de::Error::custom)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeError> {
        match self.0 {
            Value::Text(t) => {
                let text: serde::de::value::StringDeserializer<DeError> = t.into_deserializer();
                text.deserialize_enum(name, variants, visitor)
            }
            other => ValueDeserializer(other).deserialize_any(visitor),
        }
    }
    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 char str string bytes byte_buf unit unit_struct
        tuple tuple_struct identifier ignored_any
    }
}
