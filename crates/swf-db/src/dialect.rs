//! The few places where the two engines need different SQL text, each with a name.

use crate::Engine;

/// The only character of a case mapping.
fn single(mut letters: impl Iterator<Item = char>) -> Option<char> {
    let first = letters.next()?;
    letters.next().is_none().then_some(first)
}

/// Writes the fragments that differ between PostgreSQL and SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect(pub Engine);

impl Dialect {
    /// The text of a top-level field of a JSON column (`NULL` when absent); numbers come as their text.
    pub fn json_text(self, column: &str, field: &str) -> String {
        match self.0 {
            Engine::Postgres => format!("({column}->>'{field}')"),
            Engine::Sqlite => format!("CAST(json_extract({column}, '$.{field}') AS TEXT)"),
        }
    }

    /// The text of a field within a top-level object of a JSON column (`NULL` when either is absent).
    pub fn json_text_in(self, column: &str, object: &str, field: &str) -> String {
        match self.0 {
            Engine::Postgres => format!("({column}->'{object}'->>'{field}')"),
            Engine::Sqlite => format!("CAST(json_extract({column}, '$.{object}.{field}') AS TEXT)"),
        }
    }

    /// The values of a JSON object as one text, joined by blanks; `NULL` when it has none.
    pub fn json_values_text(self, column: &str) -> String {
        match self.0 {
            Engine::Postgres => format!(
                "(SELECT string_agg(value, ' ') FROM jsonb_each_text(CASE jsonb_typeof({column}) \
                 WHEN 'object' THEN {column} ELSE '{{}}' END))"
            ),
            Engine::Sqlite => format!(
                "(SELECT group_concat(CASE type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE value END, ' ') \
                 FROM json_each({column}) WHERE typeof(key) = 'text')"
            ),
        }
    }

    /// A text expression as a sort key: in byte order, whatever collation the database has.
    pub fn byte_order(self, expression: &str) -> String {
        match self.0 {
            Engine::Postgres => format!("({expression} COLLATE \"C\")"),
            Engine::Sqlite => expression.to_owned(),
        }
    }

    /// Whether a text expression contains the text of a parameter made by [`Dialect::containing`], in any case
    /// of its letters, whatever the script and whatever locale the database has.
    pub fn contains(self, expression: &str) -> String {
        match self.0 {
            Engine::Postgres => format!("{expression} ~ ?"),
            Engine::Sqlite => format!("{expression} GLOB ?"),
        }
    }

    /// The parameter of [`Dialect::contains`]: every character is taken literally. A letter stands for both its
    /// cases where each of them is one character.
    pub fn containing(self, text: &str) -> String {
        let mut pattern = String::new();
        for letter in text.chars() {
            let (lower, upper) = (single(letter.to_lowercase()), single(letter.to_uppercase()));
            match (lower, upper) {
                (Some(lower), Some(upper)) if lower != upper => pattern.extend(['[', lower, upper, ']']),
                _ => self.literal(letter, &mut pattern),
            }
        }
        match self.0 {
            Engine::Postgres => pattern,
            Engine::Sqlite => format!("*{pattern}*"),
        }
    }

    fn literal(self, letter: char, pattern: &mut String) {
        match self.0 {
            Engine::Postgres if letter.is_ascii_punctuation() => pattern.extend(['\\', letter]),
            Engine::Sqlite if matches!(letter, '*' | '?' | '[') => pattern.extend(['[', letter, ']']),
            _ => pattern.push(letter),
        }
    }

    /// A JSON array of the distinct values of an expression, for use with `GROUP BY`.
    pub fn json_group_distinct(self, expression: &str) -> String {
        match self.0 {
            Engine::Postgres => format!("jsonb_agg(DISTINCT {expression})"),
            Engine::Sqlite => format!("json_group_array(DISTINCT {expression})"),
        }
    }

    /// Turns a JSON value of a parameter into rows `value` of text: `SELECT value FROM …`.
    pub fn json_each(self, expression: &str) -> String {
        match self.0 {
            Engine::Postgres => {
                format!("(SELECT jsonb_array_elements_text({expression}) AS value) AS each_value")
            }
            Engine::Sqlite => format!("json_each({expression})"),
        }
    }

    /// Whole seconds between two moments, later minus earlier, as a real number.
    pub fn seconds_between(self, later: &str, earlier: &str) -> String {
        match self.0 {
            Engine::Postgres => {
                format!("CAST(extract(epoch FROM ({later} - {earlier})) AS double precision)")
            }
            Engine::Sqlite => format!("((julianday({later}) - julianday({earlier})) * 86400.0)"),
        }
    }

    /// A column as text, whatever its type.
    pub fn text(self, expression: &str) -> String {
        format!("CAST({expression} AS TEXT)")
    }

    /// A text parameter as an address, for an `inet` column.
    pub fn inet_parameter(self) -> &'static str {
        match self.0 {
            Engine::Postgres => "CAST(? AS inet)",
            Engine::Sqlite => "?",
        }
    }

    /// Ends a SELECT in a transaction that means to change the rows it reads. SQLite holds its write lock
    /// from the begin of the transaction.
    pub fn for_update(self) -> &'static str {
        match self.0 {
            Engine::Postgres => "FOR UPDATE",
            Engine::Sqlite => "",
        }
    }

    /// A JSON document with the members of another added; NULL counts as an empty object.
    pub fn json_merged(self, column: &str, added: &str) -> String {
        match self.0 {
            Engine::Postgres => format!("(COALESCE({column}, CAST('{{}}' AS jsonb)) || {added})"),
            Engine::Sqlite => format!("json_patch(COALESCE({column}, '{{}}'), {added})"),
        }
    }

    /// A JSON object of expressions; names must be plain.
    pub fn json_object(self, members: &[(&str, &str)]) -> String {
        let function = match self.0 {
            Engine::Postgres => "jsonb_build_object",
            Engine::Sqlite => "json_object",
        };
        let members: Vec<String> = members.iter().map(|(name, value)| format!("'{name}', {value}")).collect();
        format!("{function}({})", members.join(", "))
    }

    /// The address in an `inet` column, without its mask.
    pub fn inet_text(self, column: &str) -> String {
        match self.0 {
            Engine::Postgres => format!("host({column})"),
            Engine::Sqlite => column.to_owned(),
        }
    }
}
