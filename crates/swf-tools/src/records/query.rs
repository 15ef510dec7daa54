//! What may stand in the query of a list: filters and pages. Whatever is not understood is refused.

use chrono_tz::Tz;
use serde_json::Value as JsonValue;
use swf_db::schema::Kind;
use swf_db::{Sql, Value};

use super::describe::{Field, Resource, Source};
use super::error::Problems;
use super::{Error, times, validate};

/// Part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Rows at most.
    pub limit: usize,
    /// Rows left out before.
    pub offset: usize,
}

/// A list's query, understood.
#[derive(Debug, Default)]
pub(super) struct Query {
    /// Conditions over the row `t` and their values.
    pub conditions: Vec<(String, Value)>,
    /// The page, when one was asked for.
    pub page: Option<Page>,
}

/// Names that every list understands besides its filters; `format` is the surface's.
const COMMON: [&str; 3] = ["limit", "offset", "format"];

/// Rows of a page when only an offset is given.
const PAGE: usize = 100;

/// Reads the query of a list.
pub(super) fn read(
    resource: &Resource,
    query: &[(String, String)],
    zone: Tz,
    most: usize,
) -> Result<Query, Error> {
    let mut out = Query::default();
    let mut problems = Problems::default();
    let (mut limit, mut offset) = (None, None);
    for (at, (name, value)) in query.iter().enumerate() {
        if query.iter().take(at).any(|(earlier, _)| earlier == name) {
            problems.add(name, ["is given more than once; give one value".to_owned()]);
            continue;
        }
        let done = match name.as_str() {
            "format" => Ok(()),
            "limit" => bounded(value, 1, most).map(|n| limit = Some(n)),
            "offset" => bounded(value, 0, 1_000_000_000).map(|n| offset = Some(n)),
            _ => condition(resource, name, value, zone).map(|c| out.conditions.push(c)),
        };
        if let Err(why) = done {
            problems.add(name, [why]);
        }
    }
    problems.into_result()?;
    if limit.is_some() || offset.is_some() {
        out.page = Some(Page { limit: limit.unwrap_or(PAGE.min(most)), offset: offset.unwrap_or(0) });
    }
    Ok(out)
}

fn bounded(value: &str, low: usize, high: usize) -> Result<usize, String> {
    match value.trim().parse::<usize>() {
        Ok(n) if (low..=high).contains(&n) => Ok(n),
        _ => Err(format!("must be an integer from {low} to {high}")),
    }
}

fn condition(resource: &Resource, name: &str, text: &str, zone: Tz) -> Result<(String, Value), String> {
    if let Some(filter) = resource.filters.iter().find(|f| f.name == name) {
        return Ok((filter.condition.to_owned(), parse(filter.kind, name, text, zone)?));
    }
    let Some(field) = resource.field(name).filter(|f| filterable(resource, f)) else {
        return Err(format!("is not a filter of {}; accepted: {}", resource.path, accepted(resource)));
    };
    let facts = resource.facts(field);
    // Heartbeats store other agent types than writes accept.
    if !facts.choices.is_empty() && name != "agent_type" && !facts.choices.contains(&text) {
        return Err(format!("must be one of {}", facts.choices.join(", ")));
    }
    let own = format!("t.\"{}\"", field.column);
    let sql = match field.source {
        Source::Slug { table, to, slug } => {
            format!("{own} IN (SELECT s.\"{to}\" FROM {table} AS s WHERE s.\"{slug}\" = ?)")
        }
        Source::Computed(_, sql) => format!("({sql}) = ?"),
        _ => format!("{own} = ?"),
    };
    Ok((sql, parse(resource.shown_kind(field), name, text, zone)?))
}

/// Scalar fields of every database can be filtered on.
fn filterable(resource: &Resource, field: &Field) -> bool {
    field.source != Source::Later
        && !matches!(resource.shown_kind(field), Kind::Json | Kind::Inet | Kind::Double | Kind::Numeric(..))
}

/// Names that a list's query understands, for texts and for the API document.
pub fn accepted(resource: &Resource) -> String {
    names(resource).join(", ")
}

/// Names that a list's query understands.
pub fn names(resource: &Resource) -> Vec<&'static str> {
    let fields = resource.fields.iter().filter(|f| filterable(resource, f)).map(|f| f.name);
    fields.chain(resource.filters.iter().map(|f| f.name)).chain(COMMON).collect()
}

fn parse(kind: Kind, name: &str, text: &str, zone: Tz) -> Result<Value, String> {
    let json = || JsonValue::String(text.to_owned());
    match kind {
        Kind::SmallInt | Kind::Integer | Kind::BigInt => {
            let what = if name == "run_number" { "an integer run number" } else { "an integer" };
            let whole = validate::whole(&json()).and_then(|n| i64::try_from(n).ok());
            whole.map(Value::Int).ok_or_else(|| format!("must be {what}"))
        }
        Kind::Uuid => {
            validate::uuid(&json()).map(Value::Uuid).ok_or_else(|| "must be a valid UUID".to_owned())
        }
        Kind::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(Value::Bool(true)),
            "false" | "0" | "no" | "off" => Ok(Value::Bool(false)),
            _ => Err("must be true or false".to_owned()),
        },
        Kind::Time => times::read(text, zone).map(Value::Time),
        _ => Ok(Value::Text(text.to_owned())),
    }
}

impl Query {
    /// Adds the conditions to a statement.
    pub fn apply(&self, sql: &mut Sql) {
        for (condition, value) in &self.conditions {
            sql.and(condition, [value.clone()]);
        }
    }
}
