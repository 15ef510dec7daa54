//! A statement and its parameters, built piece by piece.

use crate::{Engine, Value};

/// SQL text with `?` for each parameter. A `?` never stands in a literal: values are always bound.
#[derive(Debug, Clone)]
pub struct Sql {
    text: String,
    values: Vec<Value>,
    conditions: bool,
}

impl Sql {
    /// Starts a statement.
    pub fn new(text: impl Into<String>) -> Sql {
        Sql { text: text.into(), values: Vec::new(), conditions: false }
    }

    /// Appends text and the values of its `?`s, after a blank.
    pub fn push(&mut self, text: &str, values: impl IntoIterator<Item = Value>) -> &mut Sql {
        self.text.push(' ');
        self.text.push_str(text);
        self.values.extend(values);
        self
    }

    /// [`Sql::push`] for building in one expression.
    #[must_use]
    pub fn with(mut self, text: &str, values: impl IntoIterator<Item = Value>) -> Sql {
        self.push(text, values);
        self
    }

    /// Adds a condition, with `WHERE` before the first and `AND` before each further one.
    pub fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) -> &mut Sql {
        let word = if self.conditions { "AND" } else { "WHERE" };
        self.conditions = true;
        self.push(word, []).push(condition, values)
    }

    /// Adds a condition with one parameter when the value is there: an absent filter filters nothing.
    pub fn filter<T: Into<Value>>(&mut self, condition: &str, value: Option<T>) -> &mut Sql {
        match value {
            Some(v) => self.and(condition, [v.into()]),
            None => self,
        }
    }

    /// Adds `expression IN (…)`; an empty list matches nothing.
    pub fn and_in(&mut self, expression: &str, values: impl IntoIterator<Item = Value>) -> &mut Sql {
        let values: Vec<Value> = values.into_iter().collect();
        if values.is_empty() {
            return self.and("1 = 0", []);
        }
        let marks = vec!["?"; values.len()].join(", ");
        self.and(&format!("{expression} IN ({marks})"), values)
    }

    /// The parameters in order.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The text as written, with `?`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True when the statement changes rows.
    pub(crate) fn writes(&self) -> bool {
        let word = self.text.split_whitespace().next().unwrap_or_default();
        !matches!(
            word.to_ascii_uppercase().as_str(),
            "SELECT" | "WITH" | "PRAGMA" | "VALUES" | "EXPLAIN" | "SHOW"
        )
    }

    /// The text with numbered parameters for one engine. On PostgreSQL each parameter is written with its
    /// type, because a cached statement would otherwise keep the types of its first call; NULL is written out.
    pub(crate) fn render(&self, engine: Engine) -> String {
        let mut out = String::with_capacity(self.text.len() + self.values.len() * 12);
        let mut values = self.values.iter();
        let mut number = 0;
        for c in self.text.chars() {
            if c != '?' {
                out.push(c);
                continue;
            }
            let value = values.next();
            if value.is_some_and(Value::is_null) {
                out.push_str("NULL");
                continue;
            }
            number += 1;
            let mark = format!("${number}");
            match engine {
                Engine::Sqlite => out.push_str(&mark),
                Engine::Postgres => {
                    out.push_str("CAST(");
                    out.push_str(&mark);
                    out.push_str(" AS ");
                    out.push_str(value.map_or("text", postgres_type));
                    out.push(')');
                }
            }
        }
        out
    }
}

fn postgres_type(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "boolean",
        Value::Int(_) => "bigint",
        Value::Float(_) => "double precision",
        Value::Text(_) | Value::Null => "text",
        Value::Time(_) => "timestamptz",
        Value::Naive(_) => "timestamp",
        Value::Uuid(_) => "uuid",
        Value::Json(_) => "jsonb",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_filters_leave_no_trace_and_null_is_written_out() {
        let mut sql = Sql::new("SELECT * FROM t");
        sql.filter("a = ?", Some("x")).filter("b = ?", None::<i64>).and("c IS ?", [Value::Null]);
        sql.and_in("d", [1.into(), 2.into()]).and_in("e", []);
        assert_eq!(
            sql.render(Engine::Sqlite),
            "SELECT * FROM t WHERE a = $1 AND c IS NULL AND d IN ($2, $3) AND 1 = 0"
        );
        assert!(sql.render(Engine::Postgres).contains("a = CAST($1 AS text)"));
    }
}
