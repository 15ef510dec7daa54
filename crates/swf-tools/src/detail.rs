//! How much of each row a list shows: `detail` = brief, normal or full.
//!
//! *Invariant:* the row types hold every field, so one output schema describes all three forms.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::Error;

/// How much to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// Only what tells the rows apart: at most a third of normal.
    Brief,
    /// What the contract promises.
    #[default]
    Normal,
    /// Also what otherwise only the single-record tool shows.
    Full,
}

/// Which fields of a row belong to which form.
#[derive(Debug)]
pub struct Shape {
    /// The only fields of the brief form.
    pub brief: &'static [&'static str],
    /// Fields that only the full form has.
    pub full: &'static [&'static str],
}

const WORDS: [&str; 3] = ["brief", "normal", "full"];

impl Detail {
    /// Reads the argument.
    pub fn of(given: Option<&str>) -> Result<Detail, Error> {
        match given.map(str::to_lowercase).as_deref() {
            None | Some("normal") => Ok(Detail::Normal),
            Some("brief") => Ok(Detail::Brief),
            Some("full") => Ok(Detail::Full),
            Some(other) => Err(Error::invalid(
                "detail",
                format!("'{other}' is not a level of detail{}", crate::args::choices(other, &WORDS)),
            )),
        }
    }

    /// `column`, or a NULL of that name when this form is below `least`: large columns that nobody is
    /// shown are not read.
    pub fn column(self, least: Detail, column: &str) -> String {
        let name = column.rsplit('.').next().unwrap_or(column);
        if (self as u8) < (least as u8) { format!("NULL AS {name}") } else { column.to_owned() }
    }

    /// The row in this form.
    pub fn show<T>(self, shape: &'static Shape, row: T) -> Shown<T> {
        Shown { row, detail: self, shape }
    }
}

/// A row of which some fields may be left out.
#[derive(Debug)]
pub struct Shown<T> {
    row: T,
    detail: Detail,
    shape: &'static Shape,
}

impl<T: Serialize> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = match self.detail {
            Detail::Full => return self.row.serialize(serializer),
            _ => serde_json::to_value(&self.row).map_err(serde::ser::Error::custom)?,
        };
        if let Value::Object(fields) = &mut row {
            fields.retain(|name, _| match self.detail {
                Detail::Brief => self.shape.brief.contains(&name.as_str()),
                _ => !self.shape.full.contains(&name.as_str()),
            });
        }
        row.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Shown<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = T::json_schema(generator);
        schema.remove("required");
        schema
    }
}
