//! Pieces of Markdown made from tool answers.

use serde_json::{Map, Value};

/// A value as people read it; nothing for null.
pub(super) fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The first `most` characters.
pub(super) fn first(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// A cell of a table.
pub(super) fn cell(row: &Map<String, Value>, name: &str, most: usize) -> String {
    first(&shown(row.get(name)), most).replace(['\n', '\r'], " ").replace('|', "\\|")
}

/// `**Label:** value`, unless there is no value.
pub(super) fn field(out: &mut String, label: &str, value: &str) {
    if !value.is_empty() {
        out.push_str(&format!("**{label}:** {value}\n"));
    }
}

/// Rows of a list.
pub(super) fn rows<'a>(answer: &'a Value, path: &str) -> Vec<&'a Map<String, Value>> {
    let list = answer.pointer(path).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_object).collect()
}

/// Counts by name, sorted: `a: 1`, `b: 2`.
pub(super) fn counts(answer: &Value, path: &str) -> Vec<String> {
    let map = answer.pointer(path).and_then(Value::as_object);
    let mut out: Vec<String> = map.into_iter().flatten().map(|(name, n)| format!("{name}: {n}")).collect();
    out.sort();
    out
}

/// A whole number of an answer.
pub(super) fn number(answer: &Value, path: &str) -> i64 {
    answer.pointer(path).and_then(Value::as_i64).unwrap_or(0)
}

/// What people must know about an answer: what it does not see, and that it is made up.
pub(super) fn caveats(answer: &Value) -> String {
    let mut out = String::new();
    let dark = answer.get("dark").and_then(Value::as_array);
    for what in dark.into_iter().flatten() {
        out.push_str(&format!("\n_Not looked at: {}_", shown(Some(what))));
    }
    if answer.get("synthetic") == Some(&Value::Bool(true)) {
        out.push_str("\n_Synthetic production_");
    }
    out
}

/// The pages that an answer names.
pub(super) fn links(answer: &Value) -> String {
    let all = rows(answer, "/monitor_urls");
    let links: Vec<String> =
        all.iter().map(|l| format!("[{}]({})", shown(l.get("title")), shown(l.get("url")))).collect();
    links.join(" \\| ")
}
