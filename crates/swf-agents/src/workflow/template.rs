//! Texts with placeholders: `swf.{run_id}.{sequence:06}.stf`. A text that is one bare placeholder keeps the type of
//! its value, so `"{sequence}"` is a number in the message.

use serde_json::Value;

/// A parsed text.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    /// Name and zero-filled width (0: as it is).
    Slot(String, usize),
}

impl Template {
    /// Parse a text; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, after) =
                (rest.get(..open).unwrap_or_default(), rest.get(open + 1..).unwrap_or_default());
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let close =
                after.find('}').ok_or_else(|| format!("{text:?} has a {{ without }}; write {{name}}"))?;
            let slot = after.get(..close).unwrap_or_default();
            let (name, width) = match slot.split_once(":0") {
                Some((name, width)) => {
                    let width = width.parse().map_err(|_| {
                        format!("{{{slot}}} in {text:?}: after the colon comes 0 and a width, as in {{n:06}}")
                    })?;
                    (name, width)
                }
                None => (slot, 0),
            };
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(format!(
                    "{{{slot}}} in {text:?} is not a placeholder; write {{name}} or {{name:06}}"
                ));
            }
            parts.push(Part::Slot(name.to_owned(), width));
            rest = after.get(close + 1..).unwrap_or_default();
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// Names of the placeholders.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Slot(name, _) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Fill in the placeholders; unknown names give null (names are checked when the file is read).
    pub fn render(&self, look_up: &impl Fn(&str) -> Option<Value>) -> Value {
        if let [Part::Slot(name, 0)] = self.parts.as_slice() {
            return look_up(name).unwrap_or(Value::Null);
        }
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Slot(name, width) => {
                    let value = match look_up(name) {
                        Some(Value::String(value)) => value,
                        Some(value) => value.to_string(),
                        None => String::new(),
                    };
                    for _ in value.chars().count()..*width {
                        text.push('0');
                    }
                    text.push_str(&value);
                }
            }
        }
        Value::String(text)
    }

    /// As [`Template::render`], always as text.
    pub fn text(&self, look_up: &impl Fn(&str) -> Option<Value>) -> String {
        match self.render(look_up) {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn look_up(name: &str) -> Option<Value> {
        match name {
            "run" => Some(json!("100010")),
            "n" => Some(json!(7)),
            _ => None,
        }
    }

    #[test]
    fn a_lone_placeholder_keeps_its_type_and_a_mixed_text_is_text() {
        let render = |text: &str| Template::parse(text).unwrap().render(&look_up);
        assert_eq!(render("{n}"), json!(7));
        assert_eq!(render("swf.{run}.{n:06}.stf"), json!("swf.100010.000007.stf"));
        assert_eq!(render("plain"), json!("plain"));
    }

    #[test]
    fn broken_placeholders_are_named() {
        assert!(Template::parse("a{b").unwrap_err().contains("without }"));
        assert!(Template::parse("{a b}").unwrap_err().contains("{a b}"));
        assert!(Template::parse("{a:0x}").unwrap_err().contains("width"));
    }
}
