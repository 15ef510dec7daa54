//! JSON written as YAML in block style.

use serde_json::Value;

/// The document as YAML 1.2.
pub(super) fn write(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn nested(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

/// Writes a value that begins on a fresh line, or a scalar that ends the present one.
fn block(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                out.push_str(&indent);
                out.push_str(&key(name));
                out.push(':');
                below(value, depth, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                out.push_str(&indent);
                out.push('-');
                below(item, depth, out);
            }
        }
        // Every JSON scalar is a YAML flow scalar.
        scalar => {
            out.push_str(&scalar.to_string());
            out.push('\n');
        }
    }
}

fn below(value: &Value, depth: usize, out: &mut String) {
    if nested(value) {
        out.push('\n');
        block(value, depth + 1, out);
    } else {
        out.push(' ');
        block(value, depth, out);
    }
}

/// Plain words stay bare; whatever YAML could read as something else is quoted.
fn key(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !matches!(
            name.to_ascii_lowercase().as_str(),
            "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null"
        );
    if plain { name.to_owned() } else { Value::from(name).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_changes_its_meaning() {
        let text = write(&json!({"a": [1, {"on": "x: y", "b": []}], "200": null, "c": {"d": true}}));
        let expected = "a:\n  - 1\n  -\n    \"on\": \"x: y\"\n    b: []\n\"200\": null\nc:\n  d: true\n";
        assert_eq!(text, expected);
    }
}
