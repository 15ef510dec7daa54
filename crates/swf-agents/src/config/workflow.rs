//! The configuration of one run: file, includes, testbed, parameters, in this order.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::testbed::{check_sections, sections};
use super::{ConfigError, NOT_PARAMETERS, Testbed, check_name, nearest};
use crate::workflow::{Definition, Kind};

/// What a run works with.
#[derive(Debug, Clone)]
pub struct WorkflowConfig {
    /// The definition that is run.
    pub definition: Arc<Definition>,
    /// Name of the configuration without `.toml`.
    pub config: String,
    /// All sections after overrides, `effective` not included.
    pub sections: Map<String, Value>,
    /// One flat set: defaults, then `[daq_state_machine]`, then the other sections in file order.
    pub effective: Map<String, Value>,
}

impl WorkflowConfig {
    /// Load workflow and configuration for a request. Keys of `params` are `key` (where its value is in force) or
    /// `section.key`. `variables` are what `$NAME` and `~` (as `HOME`) expand to in folder parameters.
    ///
    /// # Errors
    /// One line that names file, key and what to change.
    pub fn load(
        testbed: &Testbed,
        workflow_name: &str,
        config: Option<&str>,
        params: &Map<String, Value>,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let definition = Definition::load(&testbed.sources, workflow_name)?;
        let config = match config {
            Some(name) if !name.is_empty() => name.strip_suffix(".toml").unwrap_or(name).to_owned(),
            _ => format!("{workflow_name}_default"),
        };
        check_name("configuration", &config)?;
        let mut merged = read_config(testbed, &config)?;
        overlay(&mut merged, &testbed.sections);
        apply_params(&definition, &testbed.namespace, &mut merged, params)?;
        let effective = effective(&definition, &config, &merged, variables)?;
        Ok(Self { definition: Arc::new(definition), config, sections: merged, effective })
    }

    /// The sections and, under `effective`, the flat set: what is stored with the execution.
    pub fn parameter_values(&self) -> Value {
        let mut all = self.sections.clone();
        all.insert("effective".into(), Value::Object(self.effective.clone()));
        Value::Object(all)
    }

    /// The sections without those of this testbed: what is stored with the definition.
    pub fn definition_values(&self) -> Value {
        let mut all = self.sections.clone();
        all.remove("testbed");
        all.remove("agents");
        Value::Object(all)
    }
}

fn read_config(testbed: &Testbed, config: &str) -> Result<Map<String, Value>, ConfigError> {
    let sources = &testbed.sources;
    let known: Vec<String> = sources.parameter_names().into_iter().collect();
    let file = format!("{config}.toml");
    let (origin, text) = sources.read(&file)?.ok_or_else(|| ConfigError::Unknown {
        what: "configuration",
        name: config.to_owned(),
        help: nearest(config, &sources.config_names()),
    })?;
    let mut merged = sections(&origin, &text)?;
    check_sections(&origin, &merged, &known)?;
    let includes = merged.get("workflow").and_then(|workflow| workflow.get("includes")).cloned();
    let includes = match includes {
        None => Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => {
            return Err(ConfigError::key(&origin, "workflow.includes", "must be a list of file names"));
        }
    };
    for include in includes {
        let name = include.as_str().unwrap_or_default();
        let stem = name.strip_suffix(".toml").unwrap_or(name);
        check_name("included configuration", stem)?;
        let file = format!("{stem}.toml");
        let (included, text) = sources.read(&file)?.ok_or_else(|| {
            ConfigError::key(&origin, "workflow.includes", format!("no file {file:?} beside testbed.toml"))
        })?;
        let included_sections = sections(&included, &text)?;
        check_sections(&included, &included_sections, &known)?;
        for (name, section) in included_sections {
            if name != "workflow" && !merged.contains_key(&name) {
                merged.insert(name, section);
            }
        }
    }
    Ok(merged)
}

/// The testbed file changes and adds keys section by section, but it does not rename the chosen workflow.
fn overlay(merged: &mut Map<String, Value>, testbed: &Map<String, Value>) {
    for (name, section) in testbed {
        if name == "workflow" {
            continue;
        }
        match (merged.get_mut(name), section) {
            (Some(Value::Object(mine)), Value::Object(theirs)) => mine.extend(theirs.clone()),
            _ => {
                merged.insert(name.clone(), section.clone());
            }
        }
    }
}

fn apply_params(
    definition: &Definition,
    namespace: &str,
    merged: &mut Map<String, Value>,
    params: &Map<String, Value>,
) -> Result<(), ConfigError> {
    for (address, value) in params {
        let wrong = |why: String| ConfigError::key("params", address, why);
        let (section, key) = match address.split_once('.') {
            Some((section, key)) => (Some(section), key),
            None => (None, address.as_str()),
        };
        if value.is_null() {
            continue;
        }
        if section.is_none() && key == "namespace" {
            // Senders put it beside the parameters; the command's own namespace has been looked at already.
            if value.as_str() != Some(namespace) {
                return Err(wrong(format!("{value} is not the namespace {namespace:?} of this runner")));
            }
            continue;
        }
        let value = match definition.parameter(key) {
            Some(parameter) => parameter.check(value).map_err(|why| {
                let unit =
                    if parameter.unit.is_empty() { String::new() } else { format!(" ({})", parameter.unit) };
                wrong(format!("{why}{unit}"))
            })?,
            None => value.clone(),
        };
        let known = definition.parameter(key).is_some();
        let target = match section {
            Some(section) => parameter_sections(merged)
                .find(|(name, table)| *name == section && (known || table.contains_key(key))),
            // Of several sections that have it, the last one's value is in force.
            None => parameter_sections(merged).filter(|(_, table)| table.contains_key(key)).last(),
        };
        let target = target.map(|(name, _)| name.clone());
        let target = target.or_else(|| (section.is_none() && known).then(|| "parameters".to_owned()));
        let done = target.is_some();
        if let Some(target) = target
            && let Value::Object(table) = merged.entry(target).or_insert_with(|| Value::Object(Map::new()))
        {
            table.insert(key.to_owned(), value);
        }
        if !done {
            return Err(wrong(format!(
                "unknown parameter; {}",
                nearest(key, &known_keys(definition, merged))
            )));
        }
    }
    Ok(())
}

fn known_keys(definition: &Definition, merged: &Map<String, Value>) -> Vec<String> {
    let mut known: Vec<String> = definition.parameters.iter().map(|(name, _)| name.clone()).collect();
    for (name, table) in merged {
        if !NOT_PARAMETERS.contains(&name.as_str()) {
            for key in table.as_object().into_iter().flat_map(Map::keys) {
                if !known.contains(key) {
                    known.push(key.clone());
                }
            }
        }
    }
    known
}

/// The sections that hold parameters: the machine's first, then the others in order; of a key in several the
/// last one's value is in force.
fn parameter_sections(sections: &Map<String, Value>) -> impl Iterator<Item = (&String, &Map<String, Value>)> {
    let machine = sections.get_key_value("daq_state_machine");
    let others = sections
        .iter()
        .filter(|(name, _)| *name != "daq_state_machine" && !NOT_PARAMETERS.contains(&name.as_str()));
    machine.into_iter().chain(others).filter_map(|(name, section)| Some((name, section.as_object()?)))
}

/// One flat set of sections.
pub(crate) fn flatten(sections: &Map<String, Value>) -> Map<String, Value> {
    let mut flat = Map::new();
    for (_, section) in parameter_sections(sections) {
        flat.extend(section.clone());
    }
    flat
}

fn effective(
    definition: &Definition,
    config: &str,
    merged: &Map<String, Value>,
    variables: &BTreeMap<String, String>,
) -> Result<Map<String, Value>, ConfigError> {
    let given = flatten(merged);
    let file = format!("{config}.toml");
    let mut effective = Map::new();
    for (name, parameter) in &definition.parameters {
        let value = match given.get(name) {
            Some(value) => parameter.check(value).map_err(|why| ConfigError::key(&file, name, why))?,
            None => parameter.default.clone().ok_or_else(|| {
                let why = format!("missing; {} needs it ({})", definition.file_name(), parameter.text);
                ConfigError::key(&file, name, why)
            })?,
        };
        let value = match (parameter.kind, &value) {
            (Kind::Folder, Value::String(text)) => Value::String(expand(text, variables)),
            (Kind::Float, Value::Number(_)) => value.as_f64().map_or(value, Value::from),
            _ => value,
        };
        effective.insert(name.clone(), value);
    }
    for (name, value) in given {
        effective.entry(name).or_insert(value);
    }
    Ok(effective)
}

/// Empty → the runner's output folder (variable `SWF_PROMPT_PROCESSING_CONTAINER`, else `/tmp`); `~` and `$NAME`
/// are filled in, unknown names stay as they are.
fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let text = if text.trim().is_empty() {
        variables.get("SWF_PROMPT_PROCESSING_CONTAINER").map_or("/tmp", String::as_str)
    } else {
        text
    };
    let mut expanded = match (text.strip_prefix('~'), variables.get("HOME")) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => format!("{home}{rest}"),
        _ => text.to_owned(),
    };
    // Longest names first, so that $DATA does not eat the front of $DATA_ROOT.
    let mut names: Vec<&String> = variables.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    for name in names {
        if let Some(value) = variables.get(name) {
            expanded = expanded.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value);
        }
    }
    expanded
}
