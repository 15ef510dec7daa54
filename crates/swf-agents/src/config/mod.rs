//! Configuration of testbed and workflows: `testbed.toml`, `<config>.toml`, includes, overrides, parameters.
//!
//! *Invariant:* every problem is one line that names the file, the key and what to change.

mod error;
mod sources;
mod testbed;
#[cfg(test)]
mod tests;
mod workflow;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use error::ConfigError;
pub use sources::{Sources, WorkflowListing};
pub use testbed::{AgentEntry, RunRequest, Testbed};
pub use workflow::WorkflowConfig;
pub(crate) use workflow::flatten;

/// Sections that are not parameters of the workflow.
pub(crate) const NOT_PARAMETERS: [&str; 7] =
    ["workflow", "testbed", "agents", "source", "git_version", "run", "effective"];

/// Parse a TOML file into a type; the error is one line with file and line number.
pub(crate) fn parse_toml<T: DeserializeOwned>(origin: &str, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let line = error
            .span()
            .map_or(1, |span| text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1));
        let why = error.message().lines().collect::<Vec<_>>().join(" ");
        ConfigError::Syntax { file: origin.to_owned(), line, why }
    })
}

/// A TOML value as JSON; dates become text.
pub(crate) fn to_json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text.clone()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(truth) => Value::from(*truth),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(items) => Value::Array(items.iter().map(to_json).collect()),
        toml::Value::Table(table) => Value::Object(
            table.iter().map(|(key, value)| (key.clone(), to_json(value))).collect::<Map<_, _>>(),
        ),
    }
}

/// Names of workflows and configurations become file names, so they may hold letters, digits, `_` and `-` only.
pub(crate) fn check_name(what: &'static str, name: &str) -> Result<(), ConfigError> {
    let fine = !name.is_empty()
        && name.len() <= 100
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if fine { Ok(()) } else { Err(ConfigError::Name { what, name: name.to_owned() }) }
}

/// `did you mean "x"? known: a, b, c`, for a name that is not among the known ones.
pub(crate) fn nearest(name: &str, known: &[String]) -> String {
    let all = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let best = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((_, best)) => format!("did you mean {best:?}? known: {all}"),
        None => format!("known: {all}"),
    }
}
