//! Arguments of tools: lenient in form ("5" for 5, "true" for true, null for absent), strict in meaning
//! (unknown names and impossible values are errors that say what is accepted), and their lean schemas.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::{Error, Tool};

/// Reads a tool's input from JSON arguments.
pub fn read<T: Tool>(arguments: Value) -> Result<T, Error> {
    let schema = input_schema::<T>();
    let arguments = coerce(arguments, &schema, T::EXAMPLE)?;
    serde_json::from_value(arguments).map_err(|e| Error::invalid("arguments", e.to_string()))
}

/// Schema of a tool's arguments, as small as it can be without losing a fact.
pub fn input_schema<T: JsonSchema>() -> Value {
    let mut schema = plain_schema::<T>();
    tidy(&mut schema, true);
    if let Some(object) = schema.as_object_mut() {
        object.entry("type").or_insert_with(|| json!("object"));
        object.entry("properties").or_insert_with(|| json!({}));
    }
    schema
}

/// Schema of a tool's answer: without texts, since clients keep it from the model.
pub fn output_schema<T: JsonSchema>() -> Value {
    let mut schema = plain_schema::<T>();
    tidy(&mut schema, false);
    schema
}

fn plain_schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// Drops titles, formats and defaults of null, and folds `["string", "null"]` to `string` for inputs,
/// where absent and null mean the same.
fn tidy(schema: &mut Value, input: bool) {
    match schema {
        Value::Object(object) => {
            object.remove("title");
            if !input {
                object.remove("description");
            }
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            let number = matches!(object.get("format").and_then(Value::as_str), Some(f) if f != "date-time");
            if number {
                object.remove("format");
            }
            if input && let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|t| t != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    object.insert("type".into(), one);
                }
            }
            for (key, value) in object.iter_mut() {
                match (key.as_str(), value) {
                    ("properties", Value::Object(properties)) => {
                        for property in properties.values_mut() {
                            // MCP allows only objects here.
                            if property == &json!(true) {
                                *property = json!({});
                            }
                            tidy(property, input);
                        }
                    }
                    ("example" | "examples" | "default" | "enum" | "const", _) => {}
                    (_, value) => tidy(value, input),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|i| tidy(i, input)),
        _ => {}
    }
}

/// Brings arguments into the form that the schema asks for, or says what is wrong with them.
pub fn coerce(arguments: Value, schema: &Value, example: &str) -> Result<Value, Error> {
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let arguments = match arguments {
        Value::Null => Map::new(),
        Value::Object(map) => map,
        // Some clients send the whole argument object as a string.
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(Value::Object(map)) => map,
            _ => return Err(not_an_object(&text, example)),
        },
        other => return Err(not_an_object(&other.to_string(), example)),
    };
    let mut out = Map::new();
    for (name, value) in arguments {
        let Some(property) = properties.get(&name) else {
            return Err(unknown_argument(&name, properties));
        };
        if value.is_null() {
            continue;
        }
        out.insert(name.clone(), coerce_value(&name, value, property)?);
    }
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        let name = name.as_str().unwrap_or_default();
        if !out.contains_key(name) {
            return Err(Error::invalid(name, format!("is required; for example {example}")));
        }
    }
    Ok(Value::Object(out))
}

fn not_an_object(given: &str, example: &str) -> Error {
    let shown: String = given.chars().take(80).collect();
    Error::invalid("arguments", format!("must be an object such as {example}, not {shown}"))
}

fn unknown_argument(name: &str, properties: &Map<String, Value>) -> Error {
    if properties.is_empty() {
        return Error::invalid(name, "is not an argument of this tool; it takes none");
    }
    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
    Error::invalid(name, format!("is not an argument of this tool{}", choices(name, &known)))
}

/// `; did you mean 'x'? accepted: a, b, c` for an unknown word.
pub fn choices(given: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|k| (strsim::jaro_winkler(&given.to_lowercase(), &k.to_lowercase()), *k))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| format!(", did you mean '{k}'?"))
        .unwrap_or_default();
    format!("{nearest}; accepted: {}", known.join(", "))
}

fn coerce_value(name: &str, value: Value, property: &Value) -> Result<Value, Error> {
    let kinds: Vec<&str> = match property.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => return Ok(value),
    };
    for kind in &kinds {
        if let Some(fitting) = fit(kind, &value) {
            check_range(name, &fitting, property)?;
            return Ok(fitting);
        }
    }
    let what = kinds.iter().map(|k| article(k)).collect::<Vec<_>>().join(" or ");
    Err(Error::invalid(name, format!("{value} is not {what}")))
}

fn article(kind: &str) -> &'static str {
    match kind {
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "an object",
        _ => "a text",
    }
}

fn fit(kind: &str, value: &Value) -> Option<Value> {
    match (kind, value) {
        ("integer", Value::Number(n)) => {
            let whole = n
                .as_i64()
                .or_else(|| n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15).map(|f| f as i64));
            whole.map(Value::from)
        }
        ("integer", Value::String(s)) => s.trim().parse::<i64>().ok().map(Value::from),
        ("number", Value::Number(_)) => Some(value.clone()),
        ("number", Value::String(s)) => {
            let number = s.trim().parse::<f64>().ok().filter(|f| f.is_finite())?;
            Some(json!(number))
        }
        ("boolean", Value::Bool(_)) => Some(value.clone()),
        ("boolean", Value::String(s)) => match s.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Some(Value::Bool(true)),
            "false" | "no" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        ("boolean", Value::Number(n)) => match n.as_i64() {
            Some(0) => Some(Value::Bool(false)),
            Some(1) => Some(Value::Bool(true)),
            _ => None,
        },
        ("string", Value::String(_)) => Some(value.clone()),
        ("string", Value::Number(n)) => Some(Value::String(n.to_string())),
        ("array", Value::Array(_)) | ("object", Value::Object(_)) => Some(value.clone()),
        ("object", Value::String(s)) => serde_json::from_str::<Value>(s).ok().filter(Value::is_object),
        ("array", Value::String(s)) => serde_json::from_str::<Value>(s).ok().filter(Value::is_array),
        _ => None,
    }
}

fn check_range(name: &str, value: &Value, property: &Value) -> Result<(), Error> {
    let Some(number) = value.as_f64() else { return Ok(()) };
    let bound = |key: &str| property.get(key).and_then(Value::as_f64);
    if let Some(low) = bound("minimum").filter(|low| number < *low) {
        return Err(Error::invalid(name, format!("{value} is too small: the least is {low}")));
    }
    if let Some(high) = bound("maximum").filter(|high| number > *high) {
        return Err(Error::invalid(name, format!("{value} is too large: the most is {high}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        json!({"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string"}, "count": {"type": "integer", "minimum": 1}, "live": {"type": "boolean"}}})
    }

    fn refusal(arguments: Value) -> String {
        coerce(arguments, &schema(), r#"{"name":"a"}"#).unwrap_err().to_string()
    }

    #[test]
    fn forms_are_lenient() {
        let read = coerce(json!({"name": 7, "count": "5", "live": "true"}), &schema(), "").unwrap();
        assert_eq!(read, json!({"name": "7", "count": 5, "live": true}));
        let read = coerce(json!("{\"name\":\"x\",\"count\":null}"), &schema(), "").unwrap();
        assert_eq!(read, json!({"name": "x"}));
    }

    #[test]
    fn meanings_are_strict() {
        assert_eq!(refusal(json!({"name": "a", "count": 0})), "count: 0 is too small: the least is 1");
        assert_eq!(refusal(json!({"name": "a", "count": "many"})), "count: \"many\" is not a whole number");
        assert_eq!(
            refusal(json!({"nam": "a"})),
            "nam: is not an argument of this tool, did you mean 'name'?; accepted: name, count, live"
        );
        assert_eq!(refusal(json!({})), "name: is required; for example {\"name\":\"a\"}");
    }
}
