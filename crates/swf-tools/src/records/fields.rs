//! The fields of a write: read from the input, keys of other rows looked up, brought into an INSERT.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value as JsonValue};
use swf_db::schema::{Default, Kind, Table};
use swf_db::{Dialect, Error as DbError, Sql, Tx, Value};
use uuid::Uuid;

use super::describe::{Field, Resource, Source};
use super::error::Problems;
use super::validate::{self, Input};

/// A field that is to be written.
#[derive(Debug, Clone)]
pub(super) struct Written {
    /// The field.
    pub field: &'static Field,
    /// Type of its column.
    pub kind: Kind,
    /// The value; for keys of other rows, once resolved, the key itself.
    pub value: Value,
}

/// One row of an INSERT: the same columns in the same order for every row of a table.
pub(super) type NewRow = Vec<(&'static str, Kind, Value)>;

/// Reads what a client may set. References are only read here, see [`resolve`].
pub(super) fn read(
    resource: &Resource,
    input: &Input,
    partial: bool,
    zone: Tz,
    problems: &mut Problems,
) -> Vec<Written> {
    let mut out = Vec::new();
    for field in resource.fields.iter().filter(|f| !f.read_only) {
        let facts = resource.facts(field);
        let Some(value) = input.value(field, &facts) else {
            if facts.required() && !partial {
                problems.add(field.name, ["This field is required.".to_owned()]);
            }
            continue;
        };
        let read = match field.source {
            Source::Key { .. } | Source::Slug { .. } => reference(&value, field, facts.kind, facts.null),
            _ => validate::read(&value, field, &facts, zone),
        };
        match read {
            Ok(value) => out.push(Written { field, kind: facts.kind, value }),
            Err(texts) => problems.add(field.name, texts),
        }
    }
    out
}

/// A reference to another row as its value, before it is looked up.
fn reference(value: &JsonValue, field: &Field, kind: Kind, null: bool) -> Result<Value, Vec<String>> {
    let received = validate::type_name(value);
    if value.is_null() || value.as_str() == Some("") {
        return if null { Ok(Value::Null) } else { Err(vec!["This field may not be null.".into()]) };
    }
    let slug = matches!(field.source, Source::Slug { .. });
    let wrong = || vec![format!("Incorrect type. Expected pk value, received {received}.")];
    match (value, kind) {
        (JsonValue::String(s), _) if slug => Ok(Value::Text(s.clone())),
        (JsonValue::Number(n), _) if slug => Ok(Value::Text(n.to_string())),
        _ if slug => Err(vec!["Invalid value.".into()]),
        (JsonValue::String(s), Kind::Uuid) => validate::uuid(value)
            .map(Value::Uuid)
            .ok_or_else(|| vec![format!("\u{201c}{s}\u{201d} is not a valid UUID.")]),
        (_, Kind::Uuid) => Err(wrong()),
        (JsonValue::String(_) | JsonValue::Number(_), _) => {
            let number = validate::whole(value).ok_or_else(wrong)?;
            // No row has a number that does not fit; it is looked up and not found.
            Ok(Value::Int(i64::try_from(number).unwrap_or(-1)))
        }
        _ => Err(wrong()),
    }
}

/// Looks up the rows referred to and puts their keys into the values.
pub(super) async fn resolve(
    tx: &mut Tx<'_>,
    resource: &Resource,
    written: &mut [Written],
    problems: &mut Problems,
) -> Result<(), DbError> {
    for w in written.iter_mut().filter(|w| !w.value.is_null()) {
        let (table, to, by, slug) = match w.field.source {
            Source::Key { table, to } => (table, to, to, None),
            Source::Slug { table, to, slug } => (table, to, slug, Some(slug)),
            _ => continue,
        };
        let sql =
            Sql::new(format!("SELECT \"{to}\" FROM {table} WHERE \"{by}\" = ?")).with("", [w.value.clone()]);
        let found = tx.rows(&sql).await?.into_iter().next().and_then(|r| r.into_values().into_iter().next());
        match found {
            Some(key) => w.value = as_key(resource, w.field, key),
            None => problems.add(w.field.name, [missing(&w.value, slug)]),
        }
    }
    Ok(())
}

fn missing(value: &Value, slug: Option<&str>) -> String {
    let shown = match value {
        Value::Text(s) => s.clone(),
        Value::Int(i) => i.to_string(),
        Value::Uuid(u) => u.to_string(),
        other => format!("{other:?}"),
    };
    match slug {
        Some(slug) => format!("Object with {slug}={shown} does not exist."),
        None => format!("Invalid pk \"{shown}\" - object does not exist."),
    }
}

/// A key read from SQLite is text where the column holds a UUID.
pub(super) fn as_key(resource: &Resource, field: &Field, key: Value) -> Value {
    match (resource.facts(field).kind, key) {
        (Kind::Uuid, Value::Text(text)) => Uuid::try_parse(&text).map_or(Value::Text(text), Value::Uuid),
        (_, key) => key,
    }
}

/// The columns of a new row: what is given, what the server sets, else the application's defaults.
pub(super) fn insert_values(
    resource: &Resource,
    written: &[Written],
    server: &[(&'static str, Value)],
    now: DateTime<Utc>,
    later: bool,
) -> NewRow {
    let mut written = written.to_vec();
    if !later {
        fold_later(&mut written);
    }
    let given = |name: &str| {
        let server = server.iter().find(|(column, _)| *column == name).map(|(_, v)| v.clone());
        server.or_else(|| written.iter().find(|w| w.field.column == name).map(|w| w.value.clone()))
    };
    let own = resource.table.columns.iter().filter(|c| c.default != Default::Identity);
    let added = resource.fields.iter().filter(|f| later && f.source == Source::Later);
    own.chain(added.filter_map(|f| resource.column(f)))
        .map(|column| {
            let value = given(column.name).unwrap_or_else(|| match column.default {
                Default::Int(n) => Value::Int(n),
                Default::Bool(b) => Value::Bool(b),
                Default::Text(t) => Value::Text(t.to_owned()),
                Default::EmptyObject => Value::Json(JsonValue::Object(Map::new())),
                Default::Now | Default::Created | Default::Updated => Value::Time(now),
                Default::RandomUuid => Value::Uuid(Uuid::new_v4()),
                Default::None if column.blank && !column.null => Value::Text(String::new()),
                Default::None | Default::Identity => Value::Null,
            });
            (column.name, column.kind, value)
        })
        .collect()
}

/// Moves the values of absent columns into the metadata that is written along.
pub(super) fn fold_later(written: &mut Vec<Written>) {
    let stored = written.iter().find(|w| w.field.name == "metadata").and_then(|w| match &w.value {
        Value::Json(json) => Some(json.clone()),
        _ => None,
    });
    fold_later_into(written, stored);
}

/// The same, beside a given document; metadata that is not an object stays as it is.
pub(super) fn fold_later_into(written: &mut Vec<Written>, stored: Option<JsonValue>) {
    let mut values = Map::new();
    written.retain(|w| {
        let later = w.field.source == Source::Later;
        if let (true, Value::Int(n)) = (later, &w.value) {
            values.insert(w.field.name.to_owned(), (*n).into());
        }
        !later
    });
    let mut document = match stored {
        _ if values.is_empty() => return,
        None | Some(JsonValue::Null) => Map::new(),
        Some(JsonValue::Object(object)) => object,
        Some(_) => return,
    };
    document.append(&mut values);
    let value = Value::Json(JsonValue::Object(document));
    match written.iter_mut().find(|w| w.field.name == "metadata") {
        Some(w) => w.value = value,
        None => {
            let field = super::resources::fastmon_files::METADATA;
            written.push(Written { field, kind: Kind::Json, value });
        }
    }
}

/// The mark of a parameter for a column.
pub(super) fn placeholder(kind: Kind, dialect: Dialect) -> &'static str {
    if kind == Kind::Inet { dialect.inet_parameter() } else { "?" }
}

/// `INSERT INTO … (…) VALUES (…), …`
pub(super) fn insert(table: &Table, rows: &[NewRow], dialect: Dialect) -> Sql {
    let first = rows.first().map(Vec::as_slice).unwrap_or_default();
    let names: Vec<String> = first.iter().map(|(name, ..)| format!("\"{name}\"")).collect();
    let marks: Vec<&str> = first.iter().map(|(_, kind, _)| placeholder(*kind, dialect)).collect();
    let one = format!("({})", marks.join(", "));
    let all = vec![one.as_str(); rows.len()].join(", ");
    let values = rows.iter().flatten().map(|(.., value)| value.clone());
    Sql::new(format!("INSERT INTO {} ({}) VALUES", table.name, names.join(", "))).with(&all, values)
}
