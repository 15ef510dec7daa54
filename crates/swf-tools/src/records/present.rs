//! Rows as clients see them: the SELECT of a resource, and a row turned into JSON.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value as JsonValue, json};
use swf_db::schema::Kind;
use swf_db::{Dialect, Row, Value};

use super::describe::{Resource, Source};
use super::times;

/// `SELECT … FROM … AS t` with one column per field, named like the field.
pub(super) fn select(resource: &Resource, dialect: Dialect, later: bool) -> String {
    let columns: Vec<String> = resource
        .fields
        .iter()
        .map(|f| {
            let own = format!("t.\"{}\"", f.column);
            let expression = match f.source {
                Source::Computed(_, sql) => format!("({sql})"),
                Source::Slug { table, to, slug } => {
                    format!("(SELECT s.\"{slug}\" FROM {table} AS s WHERE s.\"{to}\" = {own})")
                }
                Source::Later if !later => "NULL".to_owned(),
                _ if resource.facts(f).kind == Kind::Inet => dialect.inet_text(&own),
                _ => own,
            };
            format!("{expression} AS \"{}\"", f.name)
        })
        .collect();
    format!("SELECT {} FROM {} AS t", columns.join(", "), resource.table.name)
}

/// One row in the order of the fields.
pub(super) fn object(
    resource: &Resource,
    row: Row,
    zone: Tz,
    later: bool,
) -> Result<Map<String, JsonValue>, swf_db::Error> {
    let mut out = Map::new();
    for (field, value) in resource.fields.iter().zip(row.into_values()) {
        let shown = show(resource.shown_kind(field), value, zone);
        out.insert(field.name.to_owned(), shown.map_err(|why| bad(resource, field.name, &why))?);
    }
    if !later {
        for field in resource.fields.iter().filter(|f| f.source == Source::Later) {
            let kept = out.get("metadata").and_then(|m| m.get(field.name)).cloned().unwrap_or_default();
            out.insert(field.name.to_owned(), kept);
        }
    }
    Ok(out)
}

fn bad(resource: &Resource, field: &str, why: &str) -> swf_db::Error {
    swf_db::Error::Row(format!("{}.{field}: {why}", resource.table.name))
}

/// A value as JSON of a column's type; SQLite gives booleans as numbers, and times and documents as text.
pub(super) fn show(kind: Kind, value: Value, zone: Tz) -> Result<JsonValue, String> {
    Ok(match (kind, value) {
        (_, Value::Null) => JsonValue::Null,
        (Kind::Boolean, Value::Int(i)) => (i != 0).into(),
        (Kind::Json, Value::Text(text)) => {
            serde_json::from_str(&text).map_err(|e| format!("not a JSON document: {e}"))?
        }
        (Kind::Json, Value::Int(i)) => i.into(),
        (Kind::Json, Value::Float(f)) => f.into(),
        (Kind::Time, Value::Text(text)) => times::show(stored_time(&text)?, zone).into(),
        (Kind::Numeric(_, places), Value::Float(f)) => json!(format!("{f:.*}", usize::from(places))),
        (Kind::Numeric(_, places), Value::Int(i)) => json!(format!("{i}.{}", "0".repeat(places.into()))),
        (Kind::Double, Value::Int(i)) => json!(i as f64),
        (_, Value::Bool(b)) => b.into(),
        (_, Value::Int(i)) => i.into(),
        (_, Value::Float(f)) => f.into(),
        (_, Value::Text(text)) => text.into(),
        (_, Value::Time(time)) => times::show(time, zone).into(),
        (_, Value::Naive(time)) => times::show(time.and_utc(), zone).into(),
        (_, Value::Uuid(uuid)) => uuid.to_string().into(),
        (_, Value::Json(json)) => json,
    })
}

/// A moment as SQLite keeps it.
fn stored_time(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|t| t.to_utc())
        .map_err(|e| format!("'{text}' is not a moment: {e}"))
}
