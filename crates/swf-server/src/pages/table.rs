//! Rows as tables, and any answer as a page of tables and fields.

use serde_json::{Map, Value};

use super::body::{Anchor, Block};
use super::catalog::{Column, Show};
use super::cell::{Cell, Look, duration, label, moment, plain, text};

/// Parts of an answer that the frame of the page shows.
pub const FRAME: [&str; 8] =
    ["monitor_urls", "monitor_url", "as_of", "next", "has_more", "synthetic", "dark", "truncated"];
/// Tables within tables end here; what is deeper is shown as JSON.
const DEPTH: usize = 3;
/// Rows of a table inside an answer that was not asked for by itself.
const MOST: usize = 200;

/// Rows in the columns of a page.
pub fn table(look: &Look, columns: &[Column], rows: &[Map<String, Value>]) -> (Vec<String>, Vec<Vec<Cell>>) {
    // A column that no row has anything for only takes room.
    let used: Vec<&Column> =
        columns.iter().filter(|c| rows.is_empty() || rows.iter().any(|r| has(c, r))).collect();
    let titles = used.iter().map(|c| c.label.to_owned()).collect();
    let cells = rows.iter().map(|row| used.iter().map(|c| cell(look, c, row)).collect()).collect();
    (titles, cells)
}

fn has(column: &Column, row: &Map<String, Value>) -> bool {
    column.keys.iter().any(|k| row.get(*k).is_some_and(|v| !v.is_null()))
}

/// One column of one row.
pub fn cell(look: &Look, column: &Column, row: &Map<String, Value>) -> Cell {
    let get = |key: &str| row.get(key).unwrap_or(&Value::Null);
    match (column.show, column.keys) {
        (Show::Duration, [start, end]) => lasted(look, get(start), get(end)),
        (Show::Range, [first, last]) if !get(first).is_null() => Cell {
            kind: "number",
            text: format!("{}–{}", plain(get(first)), plain(get(last))),
            ..Cell::default()
        },
        (Show::Place, [function, line]) => text(&format!("{}:{}", plain(get(function)), plain(get(line)))),
        (_, keys) => {
            let key = keys.iter().find(|k| row.get(**k).is_some_and(|v| !v.is_null()));
            let Some(key) = key.or(keys.first()) else { return Cell::default() };
            if column.to.is_empty() {
                look.field(key, get(key))
            } else {
                look.linked(key, get(key), column.to, row)
            }
        }
    }
}

fn lasted(look: &Look, start: &Value, end: &Value) -> Cell {
    let time = |v: &Value| v.as_str().and_then(moment);
    let Some(start) = time(start) else { return look.field("", &Value::Null) };
    let seconds = (time(end).unwrap_or(look.now) - start).num_seconds();
    let open = if end.is_null() { " (ongoing)" } else { "" };
    Cell { kind: "number", text: format!("{}{open}", duration(seconds)), ..Cell::default() }
}

/// Any JSON as blocks: scalars as fields, lists of objects as tables.
pub fn blocks(look: &Look, title: &str, value: &Value) -> Vec<Block> {
    let mut out = Vec::new();
    add(look, title, value, 0, &mut out);
    out
}

fn add(look: &Look, title: &str, value: &Value, depth: usize, out: &mut Vec<Block>) {
    match value {
        Value::Object(map) => {
            let shown = map.iter().filter(|(k, _)| depth > 0 || !FRAME.contains(&k.as_str()));
            let (parts, fields): (Vec<_>, Vec<_>) = shown.partition(|(_, v)| depth < DEPTH && is_part(v));
            if !fields.is_empty() {
                // Inside a record stand names that people gave: they stay as they are.
                let name = |k: &str| if depth == 0 { label(k) } else { k.to_owned() };
                let rows = fields.into_iter().map(|(k, v)| (name(k), look.field(k, v))).collect();
                out.push(Block::Fields { title: title.to_owned(), rows });
            }
            for (key, part) in parts {
                add(look, &label(key), part, depth + 1, out);
            }
        }
        Value::Array(items) if is_table(value) => out.push(listed(look, title, items)),
        other => {
            let rows = vec![("Value".to_owned(), look.field("", other))];
            out.push(Block::Fields { title: title.to_owned(), rows });
        }
    }
}

/// Worth a part of its own: a list of objects, or an object that is not tiny and flat text for one cell.
fn is_part(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        other => is_table(other),
    }
}

fn is_table(value: &Value) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(Value::is_object))
}

fn listed(look: &Look, title: &str, items: &[Value]) -> Block {
    let rows: Vec<&Map<String, Value>> = items.iter().filter_map(Value::as_object).take(MOST).collect();
    let mut keys: Vec<&str> = Vec::new();
    for key in rows.iter().flat_map(|r| r.keys()) {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    let null = Value::Null;
    let line = |row: &&Map<String, Value>| {
        keys.iter().map(|k| look.field(k, row.get(*k).unwrap_or(&null))).collect()
    };
    let cut = if items.len() > MOST { format!(" (first {MOST} of {})", items.len()) } else { String::new() };
    Block::Table {
        title: format!("{title}{cut}"),
        more: None,
        columns: keys.iter().map(|k| label(k)).collect(),
        rows: rows.iter().map(line).collect(),
        empty: String::new(),
    }
}

/// Links of the answer to pages, as links to this server wherever it stands.
pub fn links(root: &str, base: &str, answer: &Value) -> Vec<Anchor> {
    let urls = answer.get("monitor_urls").and_then(Value::as_array).into_iter().flatten();
    let anchor = |link: &Value| {
        let (title, url) = (link.get("title")?.as_str()?, link.get("url")?.as_str()?);
        let path = url.strip_prefix(base).filter(|p| p.starts_with('/'));
        let web = url.starts_with("https://") || url.starts_with("http://");
        let href = path.map(|p| super::visit::link(root, p)).or_else(|| web.then(|| url.to_owned()))?;
        Some(Anchor::new(title, href))
    };
    urls.filter_map(anchor).collect()
}
