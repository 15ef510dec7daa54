//! The derived calls of tools.

use serde_json::{Map, Value, json};
use swf_tools::{ToolDef, registry};

use super::{Paths, answer, body, query};

/// Refusals of a tool, all as problem documents.
const REFUSED: &[(u16, &str)] = &[
    (400, "An argument is wrong; the text says which and what is accepted."),
    (401, "The caller is not known."),
    (403, "The caller may not do this."),
    (404, "What was asked for does not exist."),
    (409, "It cannot be done in the present state."),
    (503, "The broker or a database does not answer."),
];

pub(super) fn describe(paths: &mut Paths) {
    for tool in registry::all() {
        let path = format!("/api/v1/tools/{}/", tool.name);
        let mut call = operation(tool, tool.name.to_owned());
        let mut input = tool.input_schema();
        if let Some(input) = input.as_object_mut() {
            input.remove("description");
            input.insert("additionalProperties".into(), false.into());
        }
        call["requestBody"] = body(&input, input.get("required").is_some());
        if let Ok(example) = serde_json::from_str::<Value>(tool.example) {
            call["requestBody"]["content"]["application/json"]["example"] = example;
        }
        paths.add(&path, "post", call);
        if tool.hints.read_only {
            let mut look = operation(tool, format!("{}_get", tool.name));
            look["parameters"] = parameters(&input);
            paths.add(&path, "get", look);
        }
    }
}

fn operation(tool: &ToolDef, id: String) -> Value {
    let problem = json!({"$ref": "#/components/schemas/Problem"});
    let mut responses = Map::new();
    responses.insert("200".into(), answer("The answer.", &tool.output_schema()));
    for (status, text) in REFUSED {
        let mut content = json!({"application/problem+json": {"schema": problem}});
        if matches!(status, 400 | 401) {
            // What is refused before the tool is reached has the shape of the records.
            content["application/json"] = json!({"schema": {"$ref": "#/components/schemas/Refusal"}});
        }
        responses.insert(status.to_string(), json!({"description": text, "content": content}));
    }
    responses.extend(super::refusals(&[405, 406, 413, 415]));
    json!({
        "operationId": id,
        "tags": [format!("tools: {}", tool.toolset.as_str())],
        "summary": tool.title,
        "description": tool.description(),
        "responses": responses,
        "x-scope": tool.scope,
    })
}

/// The arguments as parameters of the query.
fn parameters(input: &Value) -> Value {
    let required: Vec<&str> =
        input["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = input["properties"].as_object().into_iter().flatten();
    properties
        .map(|(name, schema)| {
            let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
            let mut schema = schema.clone();
            if let Some(schema) = schema.as_object_mut() {
                schema.remove("description");
            }
            let mut parameter = query(name, text, &schema);
            parameter["required"] = required.contains(&name.as_str()).into();
            parameter
        })
        .collect()
}
