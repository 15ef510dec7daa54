//! Rows of tables: paths and schemas of every resource.

use serde_json::{Map, Value, json};
use swf_db::schema::{Default, Kind};
use swf_tools::records::{Field, Method, RECORDS, Resource, Source, pcs, query};

use super::{Paths, answer, body, key, query as parameter, refusals};

/// Refusals of any request for rows.
const READ: &[u16] = &[400, 401, 403, 404, 405, 406, 503];
/// Refusals of a write.
const WRITE: &[u16] = &[400, 401, 403, 404, 405, 406, 409, 413, 415, 429, 503];

pub(super) fn describe(paths: &mut Paths, schemas: &mut Map<String, Value>) {
    for (base, resources) in [("/api", RECORDS), ("/pcs/api", pcs::RECORDS)] {
        for resource in resources {
            let name = resource.model;
            schemas.insert(name.to_owned(), row(resource));
            if resource.allows(Method::Create) || resource.allows(Method::Put) {
                schemas.insert(format!("{name}Write"), written(resource, true));
            }
            if resource.allows(Method::Patch) {
                schemas.insert(format!("{name}Patch"), written(resource, false));
            }
            list(paths, &format!("{base}/{}/", resource.path), base, resource);
            one(paths, &format!("{base}/{}/{{{}}}/", resource.path, resource.lookup), base, resource);
        }
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn id(base: &str, resource: &Resource, verb: &str) -> String {
    let place = if base == "/api" { "" } else { "pcs_" };
    format!("{place}{}_{verb}", resource.path.replace('-', "_"))
}

fn operation(
    base: &str,
    resource: &Resource,
    verb: &str,
    summary: String,
    refused: &[u16],
    ok: (&str, Value),
) -> Value {
    let mut responses = Map::new();
    responses.insert(ok.0.to_owned(), ok.1);
    responses.extend(refusals(refused));
    json!({
        "operationId": id(base, resource, verb),
        "tags": [if base == "/api" { resource.path.to_owned() } else { format!("pcs {}", resource.path) }],
        "summary": summary,
        "responses": responses,
    })
}

fn list(paths: &mut Paths, path: &str, base: &str, resource: &Resource) {
    let name = resource.model;
    let page = json!({"type": "object", "required": ["count", "next", "previous", "results"], "properties": {
        "count": {"type": "integer"}, "next": {"type": ["string", "null"]}, "previous": {"type": ["string", "null"]},
        "results": {"type": "array", "items": reference(name)}}});
    let either = json!({"anyOf": [{"type": "array", "items": reference(name)}, page]});
    let text = "All rows; with limit or offset a page of them.";
    let mut read = operation(
        base,
        resource,
        "list",
        format!("Rows of {}", resource.table.name),
        READ,
        ("200", answer(text, &either)),
    );
    let filters = query::names(resource).into_iter().map(|name| filter(resource, name));
    read["parameters"] = filters.collect();
    paths.add(path, "get", read);
    if resource.allows(Method::Create) {
        let made = answer("The new row.", &reference(name));
        let mut create =
            operation(base, resource, "create", format!("Make a {}", resource.verbose), WRITE, ("201", made));
        create["requestBody"] = body(&reference(&format!("{name}Write")), true);
        paths.add(path, "post", create);
    }
}

fn filter(resource: &Resource, name: &str) -> Value {
    match name {
        "limit" => return parameter(name, "Rows of a page.", &json!({"type": "integer", "minimum": 1})),
        "offset" => {
            return parameter(name, "Rows before the page.", &json!({"type": "integer", "minimum": 0}));
        }
        "format" => return parameter(name, "Form of the answer.", &json!({"enum": ["json", "api"]})),
        _ => {}
    }
    let kind = match resource.filters.iter().find(|f| f.name == name) {
        Some(filter) => filter.kind,
        None => resource.field(name).map_or(Kind::Text, |f| resource.shown_kind(f)),
    };
    parameter(name, "Only rows with this value.", &value(kind))
}

fn one(paths: &mut Paths, path: &str, base: &str, resource: &Resource) {
    let name = resource.model;
    let lookup = resource.table.column(resource.lookup).map_or(Kind::Text, |c| c.kind);
    let address = json!([key(resource.lookup, "Key of the row.", &value(lookup))]);
    let verbs = [
        (Method::Read, "get", "read", "Read"),
        (Method::Put, "put", "replace", "Replace"),
        (Method::Patch, "patch", "change", "Change"),
        (Method::Delete, "delete", "delete", "Delete"),
    ];
    for (method, verb, id, word) in verbs.into_iter().filter(|(method, ..)| resource.allows(*method)) {
        let refused = if method == Method::Read { READ } else { WRITE };
        let ok = match method {
            Method::Delete => ("204", json!({"description": "The row is gone."})),
            _ => ("200", answer("The row.", &reference(name))),
        };
        let mut described =
            operation(base, resource, id, format!("{word} a {}", resource.verbose), refused, ok);
        described["parameters"] = address.clone();
        match method {
            Method::Put => described["requestBody"] = body(&reference(&format!("{name}Write")), true),
            Method::Patch => {
                described["requestBody"] = body(&reference(&format!("{name}Patch")), false);
                let merge = parameter(
                    "merge",
                    "JSON objects are merged key by key instead of replaced.",
                    &json!({"type": "boolean"}),
                );
                if let Some(parameters) = described["parameters"].as_array_mut() {
                    parameters.push(merge);
                }
            }
            _ => {}
        }
        paths.add(path, verb, described);
    }
}

/// A value of a type as it stands in JSON.
fn value(kind: Kind) -> Value {
    match kind {
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::SmallInt | Kind::Integer | Kind::BigInt => json!({"type": "integer"}),
        Kind::Double => json!({"type": "number"}),
        Kind::Numeric(..) => json!({"type": "string", "description": "a decimal number"}),
        Kind::Time => json!({"type": "string", "format": "date-time"}),
        Kind::Uuid => json!({"type": "string", "format": "uuid"}),
        Kind::Varchar(_) | Kind::Text | Kind::Inet => json!({"type": "string"}),
        Kind::Json => json!({}),
    }
}

fn or_null(mut schema: Value) -> Value {
    if let Some(Value::String(kind)) = schema.get("type").cloned() {
        schema["type"] = json!([kind, "null"]);
    }
    if let Some(Value::Array(choices)) = schema.get_mut("enum") {
        choices.push(Value::Null);
    }
    schema
}

/// A row as it is read.
fn row(resource: &Resource) -> Value {
    let fields = resource.fields.iter().map(|field| {
        let schema = value(resource.shown_kind(field));
        let null = resource.facts(field).null;
        (field.name.to_owned(), if null { or_null(schema) } else { schema })
    });
    let properties: Map<String, Value> = fields.collect();
    let names: Vec<&str> = resource.fields.iter().map(|f| f.name).collect();
    json!({"type": "object", "description": format!("A row of {}.", resource.table.name),
        "properties": properties, "required": names})
}

/// What a client may send.
fn written(resource: &Resource, whole: bool) -> Value {
    let fields: Vec<&Field> = resource.fields.iter().filter(|f| !f.read_only).collect();
    let properties: Map<String, Value> =
        fields.iter().map(|f| (f.name.to_owned(), accepted(resource, f))).collect();
    let required: Vec<&str> =
        fields.iter().filter(|f| whole && resource.facts(f).required()).map(|f| f.name).collect();
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn accepted(resource: &Resource, field: &Field) -> Value {
    let facts = resource.facts(field);
    let mut schema = value(resource.shown_kind(field));
    let plain = !matches!(field.source, Source::Key { .. } | Source::Slug { .. });
    if let (Kind::Varchar(length), true) = (facts.kind, plain) {
        schema["maxLength"] = length.into();
    }
    if let Kind::SmallInt | Kind::Integer = facts.kind {
        let small = facts.kind == Kind::SmallInt;
        let widest =
            if small { (i16::MIN.into(), i16::MAX.into()) } else { (i32::MIN.into(), i32::MAX.into()) };
        let (low, high) = field.range.unwrap_or(widest);
        schema["minimum"] = low.into();
        schema["maximum"] = high.into();
    }
    if !facts.choices.is_empty() {
        let number = |c: &&str| c.parse::<i64>().map_or_else(|_| json!(c), Value::from);
        let whole = schema["type"] == "integer";
        schema["enum"] = facts.choices.iter().map(|c| if whole { number(c) } else { json!(c) }).collect();
        if facts.blank
            && let Some(choices) = schema["enum"].as_array_mut()
        {
            choices.push("".into());
        }
    } else if !facts.blank && schema["type"] == "string" && schema.get("format").is_none() {
        schema["minLength"] = 1.into();
    }
    if field.url {
        schema["format"] = "uri".into();
    }
    match facts.default {
        Default::Int(n) => schema["default"] = n.into(),
        Default::Bool(b) => schema["default"] = b.into(),
        Default::Text(t) if !t.is_empty() => schema["default"] = t.into(),
        Default::EmptyObject => schema["default"] = json!({}),
        _ => {}
    }
    if facts.null { or_null(schema) } else { schema }
}
