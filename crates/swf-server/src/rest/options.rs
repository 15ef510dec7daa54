//! `OPTIONS`: what a resource is and what may be written.

use axum::http::{StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value, json};
use swf_db::schema::Kind;
use swf_tools::records::{Facts, Field, Method, Resource, Source};

use super::fault::{answer, with};

/// The methods of a list or of a row, as `Allow` has them.
pub(super) fn verbs(resource: &Resource, row: bool) -> String {
    let all: &[(Method, &str)] = if row {
        &[
            (Method::Read, "GET"),
            (Method::Put, "PUT"),
            (Method::Patch, "PATCH"),
            (Method::Delete, "DELETE"),
            (Method::Read, "HEAD"),
        ]
    } else {
        &[(Method::Read, "GET"), (Method::Create, "POST"), (Method::Read, "HEAD")]
    };
    let allowed = all.iter().filter(|(method, _)| resource.allows(*method)).map(|(_, verb)| *verb);
    allowed.chain(["OPTIONS"]).collect::<Vec<_>>().join(", ")
}

/// The answer to `OPTIONS`.
pub(super) fn describe(resource: &Resource, row: bool, writes: bool) -> Response {
    let kind = if row { "Instance" } else { "List" };
    let mut body = Map::new();
    body.insert("name".into(), format!("{} {kind}", resource.model).into());
    body.insert("description".into(), format!("Rows of {}.", resource.table.name).into());
    body.insert("renders".into(), json!(["application/json"]));
    body.insert("parses".into(), json!(["application/json", "application/x-www-form-urlencoded"]));
    if writes && (row || resource.allows(Method::Create)) {
        let fields: Map<String, Value> =
            resource.fields.iter().map(|f| (f.name.to_owned(), field(resource, f))).collect();
        let action = if row { "PUT" } else { "POST" };
        body.insert("actions".into(), json!({ action: fields }));
    }
    with(answer(StatusCode::OK, &Value::Object(body)), header::ALLOW, &verbs(resource, row))
}

fn field(resource: &Resource, field: &Field) -> Value {
    let facts = resource.facts(field);
    let mut out = Map::new();
    out.insert("type".into(), type_name(field, &facts).into());
    out.insert("required".into(), (!field.read_only && facts.required()).into());
    out.insert("read_only".into(), field.read_only.into());
    out.insert("label".into(), field.verbose().into());
    if let Kind::Varchar(length) = facts.kind {
        out.insert("max_length".into(), length.into());
    }
    if !facts.choices.is_empty() {
        let choices = facts.choices.iter().map(|c| json!({"value": c, "display_name": c}));
        out.insert("choices".into(), choices.collect());
    }
    Value::Object(out)
}

fn type_name(field: &Field, facts: &Facts) -> &'static str {
    match (field.source, facts.kind) {
        (Source::Key { .. } | Source::Slug { .. }, _) => "field",
        _ if !facts.choices.is_empty() => "choice",
        (_, Kind::Boolean) => "boolean",
        (_, Kind::SmallInt | Kind::Integer | Kind::BigInt) => "integer",
        (_, Kind::Double) => "float",
        (_, Kind::Numeric(..)) => "decimal",
        (_, Kind::Time) => "datetime",
        _ if field.url => "url",
        (_, Kind::Varchar(_) | Kind::Text | Kind::Uuid | Kind::Inet) => "string",
        (_, Kind::Json) => "field",
    }
}
