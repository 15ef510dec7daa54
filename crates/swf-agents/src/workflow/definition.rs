//! Reading `<name>.workflow.toml`. Everything a step or text refers to is checked here, so that a running workflow
//! cannot trip over a misspelt name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::steps::{Amount, Op, StepText, any_value, collect_counters, compile};
use super::template::Template;
use crate::config::{ConfigError, Sources, check_name, nearest, parse_toml};

/// Destination of messages that name none.
pub const DEFAULT_DESTINATION: &str = "/topic/epictopic";
/// Placeholders that every workflow has.
const BUILT_IN: [&str; 7] = ["namespace", "execution_id", "run_id", "now", "tick", "state", "substate"];
/// So many files may extend one another.
const DEPTH: usize = 8;

/// Type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Whole number.
    Int,
    /// Number.
    Float,
    /// true or false.
    Bool,
    /// Any text.
    Text,
    /// A folder; `~` and `$NAME` are expanded, empty means the runner's output folder.
    Folder,
}

/// A declared parameter.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Value when neither configuration nor request gives one; without it the parameter must be given.
    #[serde(default, deserialize_with = "any_value")]
    pub default: Option<Value>,
    /// Unit of the value.
    #[serde(default)]
    pub unit: String,
    /// Least value.
    #[serde(default)]
    pub min: Option<f64>,
    /// Largest value.
    #[serde(default)]
    pub max: Option<f64>,
    /// One line for people.
    #[serde(default)]
    pub text: String,
}

impl Parameter {
    /// Check a value and bring it into the parameter's type.
    ///
    /// # Errors
    /// A text that says what the value should be.
    pub fn check(&self, value: &Value) -> Result<Value, String> {
        let number = value.as_f64();
        let checked = match (self.kind, value) {
            (Kind::Int, Value::Number(_)) => match number {
                Some(n) if n.fract() == 0.0 && n.abs() < 9e15 => Some(Value::from(n as i64)),
                _ => None,
            },
            (Kind::Float, Value::Number(_)) => number.map(Value::from),
            (Kind::Bool, Value::Bool(_)) | (Kind::Text | Kind::Folder, Value::String(_)) => {
                Some(value.clone())
            }
            _ => None,
        };
        let what = match self.kind {
            Kind::Int => "a whole number",
            Kind::Float => "a number",
            Kind::Bool => "true or false",
            Kind::Text => "a text",
            Kind::Folder => "a folder name",
        };
        let checked = checked.ok_or_else(|| format!("{value} is not {what}"))?;
        match (number, self.min, self.max) {
            (Some(n), Some(min), _) if n < min => Err(format!("{value} is less than {min}")),
            (Some(n), _, Some(max)) if n > max => Err(format!("{value} is more than {max}")),
            _ => Ok(checked),
        }
    }
}

/// A message of the workflow.
#[derive(Debug, Clone, Default)]
pub struct MessagePlan {
    /// Fields in order, after `msg_type`.
    pub fields: Vec<(String, Field)>,
    /// Where it goes.
    pub destination: String,
    /// File that gets the message as JSON before it is sent.
    pub file: Option<Template>,
}

/// A field of a message: a constant or a text with placeholders.
#[derive(Debug, Clone)]
pub enum Field {
    /// Number, boolean, list or table as it stands in the file.
    Constant(Value),
    /// Text.
    Text(Template),
}

/// A checked workflow definition.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Name, equal to the file name.
    pub name: String,
    /// Version text.
    pub version: String,
    /// One line for people.
    pub description: String,
    /// `simulation` unless the file says otherwise.
    pub workflow_type: String,
    /// Message that closes a run, sent at every ending.
    pub closing: Option<String>,
    /// Folders made before the first step.
    pub folders: Vec<Template>,
    /// Parameters in order.
    pub parameters: Vec<(String, Parameter)>,
    /// Derived values in order.
    pub values: Vec<(String, Template)>,
    /// Messages by name.
    pub messages: BTreeMap<String, MessagePlan>,
    /// The program.
    pub steps: Vec<Op>,
    /// Text of the file, after the texts it extends; this is what is registered.
    pub source: String,
    /// SHA-256 of `source` in hex.
    pub sha256: String,
    /// Where the file was found.
    pub origin: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    workflow: Head,
    #[serde(default)]
    parameters: toml::Table,
    #[serde(default)]
    values: toml::Table,
    #[serde(default)]
    messages: toml::Table,
    #[serde(default)]
    files: toml::Table,
    #[serde(default)]
    destinations: toml::Table,
    #[serde(default)]
    steps: Vec<StepText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    name: String,
    version: String,
    #[serde(default)]
    description: String,
    #[serde(default = "simulation", rename = "type")]
    workflow_type: String,
    extends: Option<String>,
    closing: Option<String>,
    #[serde(default)]
    folders: Vec<String>,
}

fn simulation() -> String {
    "simulation".into()
}

impl Definition {
    /// Read and check the definition of that name.
    ///
    /// # Errors
    /// One line that names file, key and what to change.
    pub fn load(sources: &Sources, name: &str) -> Result<Self, ConfigError> {
        check_name("workflow", name)?;
        let definition = Self::read(sources, name, 0)?;
        definition.check()?;
        Ok(definition)
    }

    fn read(sources: &Sources, name: &str, depth: usize) -> Result<Self, ConfigError> {
        let file = format!("{name}.workflow.toml");
        let (origin, text) = sources.read(&file)?.ok_or_else(|| ConfigError::Unknown {
            what: "workflow",
            name: name.to_owned(),
            help: format!("known workflows: {}", sources.workflow_names().join(", ")),
        })?;
        let parsed: File = parse_toml(&origin, &text)?;
        let wrong = |key: &str, why: String| ConfigError::key(&origin, key, why);
        if parsed.workflow.name != name {
            return Err(wrong(
                "workflow.name",
                format!("{:?} must be {name:?} as the file", parsed.workflow.name),
            ));
        }
        let mut definition = match &parsed.workflow.extends {
            Some(_) if depth >= DEPTH => {
                return Err(wrong("workflow.extends", "files extend one another in a circle".into()));
            }
            Some(base) => {
                check_name("workflow", base)?;
                Self::read(sources, base, depth + 1)?
            }
            None => Self::empty(),
        };
        definition.origin.clone_from(&origin);
        definition.extend(parsed).map_err(|(key, why)| wrong(&key, why))?;
        if !definition.source.is_empty() {
            definition.source.push('\n');
        }
        definition.source.push_str(&text);
        definition.sha256 =
            Sha256::digest(definition.source.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        Ok(definition)
    }

    fn empty() -> Self {
        Self {
            name: String::new(),
            version: String::new(),
            description: String::new(),
            workflow_type: simulation(),
            closing: None,
            folders: Vec::new(),
            parameters: Vec::new(),
            values: Vec::new(),
            messages: BTreeMap::new(),
            steps: Vec::new(),
            source: String::new(),
            sha256: String::new(),
            origin: String::new(),
        }
    }

    /// Lay a file over what it extends.
    fn extend(&mut self, file: File) -> Result<(), (String, String)> {
        let head = file.workflow;
        self.name = head.name;
        self.version = head.version;
        self.description = head.description;
        self.workflow_type = head.workflow_type;
        self.closing = head.closing.or(self.closing.take());
        for folder in &head.folders {
            let folder = Template::parse(folder).map_err(|why| ("workflow.folders".to_owned(), why))?;
            self.folders.push(folder);
        }
        for (name, value) in file.parameters {
            let key = format!("parameters.{name}");
            let parameter: Parameter = value
                .try_into()
                .map_err(|error: toml::de::Error| (key.clone(), error.message().to_owned()))?;
            if let Some(default) = &parameter.default {
                parameter.check(default).map_err(|why| (format!("{key}.default"), why))?;
            }
            put(&mut self.parameters, name, parameter);
        }
        for (name, value) in &file.values {
            let key = format!("values.{name}");
            let text = value.as_str().ok_or_else(|| (key.clone(), "must be a text".to_owned()))?;
            let template = Template::parse(text).map_err(|why| (key, why))?;
            put(&mut self.values, name.clone(), template);
        }
        self.extend_messages(&file.messages, &file.files, &file.destinations)?;
        if !file.steps.is_empty() {
            self.steps = compile(file.steps, "steps")?;
        }
        Ok(())
    }

    fn extend_messages(
        &mut self,
        messages: &toml::Table,
        files: &toml::Table,
        destinations: &toml::Table,
    ) -> Result<(), (String, String)> {
        for (name, fields) in messages {
            let key = format!("messages.{name}");
            let fields =
                fields.as_table().ok_or_else(|| (key.clone(), "must be a table of fields".to_owned()))?;
            let plan = self.messages.entry(name.clone()).or_insert_with(|| MessagePlan {
                destination: DEFAULT_DESTINATION.to_owned(),
                ..MessagePlan::default()
            });
            for (field, value) in fields {
                let value = match value {
                    toml::Value::String(text) => {
                        Field::Text(Template::parse(text).map_err(|why| (format!("{key}.{field}"), why))?)
                    }
                    other => Field::Constant(crate::config::to_json(other)),
                };
                put(&mut plan.fields, field.clone(), value);
            }
        }
        for (section, table) in [("files", files), ("destinations", destinations)] {
            for (name, value) in table {
                let key = format!("{section}.{name}");
                let text = value.as_str().ok_or_else(|| (key.clone(), "must be a text".to_owned()))?;
                let known: Vec<_> = self.messages.keys().cloned().collect();
                let Some(plan) = self.messages.get_mut(name) else {
                    return Err((key, format!("no message of that name; {}", nearest(name, &known))));
                };
                if section == "files" {
                    plan.file = Some(Template::parse(text).map_err(|why| (key, why))?);
                } else if text.starts_with("/topic/") || text.starts_with("/queue/") {
                    text.clone_into(&mut plan.destination);
                } else {
                    return Err((key, format!("{text:?} must start with /topic/ or /queue/")));
                }
            }
        }
        Ok(())
    }

    /// Every name that is used must exist.
    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, why: String| ConfigError::key(&self.origin, key, why);
        if self.steps.is_empty() {
            return Err(wrong("steps", "a workflow needs steps".into()));
        }
        let mut counters = BTreeSet::new();
        collect_counters(&self.steps, &mut counters);
        let mut known: Vec<String> = BUILT_IN.iter().map(|name| (*name).to_owned()).collect();
        known.extend(counters);
        known.extend(self.parameters.iter().map(|(name, _)| name.clone()));
        let check_names = |key: &str, template: &Template, known: &[String]| match template
            .names()
            .find(|name| !known.iter().any(|k| k == name))
        {
            Some(name) => Err(wrong(key, format!("{{{name}}} is not known; {}", nearest(name, known)))),
            None => Ok(()),
        };
        for (name, template) in &self.values {
            check_names(&format!("values.{name}"), template, &known)?;
            known.push(name.clone());
        }
        for folder in &self.folders {
            check_names("workflow.folders", folder, &known)?;
        }
        for (name, plan) in &self.messages {
            for (field, value) in &plan.fields {
                if let Field::Text(template) = value {
                    check_names(&format!("messages.{name}.{field}"), template, &known)?;
                }
            }
            if let Some(file) = &plan.file {
                let mut with_fields = known.clone();
                with_fields.extend(plan.fields.iter().map(|(field, _)| field.clone()));
                check_names(&format!("files.{name}"), file, &with_fields)?;
            }
        }
        let messages: Vec<String> = self.messages.keys().cloned().collect();
        if let Some(closing) = &self.closing
            && !self.messages.contains_key(closing)
        {
            return Err(wrong(
                "workflow.closing",
                format!("no message {closing:?}; {}", nearest(closing, &messages)),
            ));
        }
        self.check_ops(&self.steps, &messages)
    }

    fn check_ops(&self, ops: &[Op], messages: &[String]) -> Result<(), ConfigError> {
        for op in ops {
            match op {
                Op::Send(name) if !self.messages.contains_key(name) => {
                    let why = format!("send = {name:?}: no such message; {}", nearest(name, messages));
                    return Err(ConfigError::key(&self.origin, "steps", why));
                }
                Op::Wait(amounts) => amounts.iter().try_for_each(|amount| self.check_amount(amount))?,
                Op::Repeat(repeat) => {
                    [&repeat.times, &repeat.seconds]
                        .into_iter()
                        .flatten()
                        .try_for_each(|amount| self.check_amount(amount))?;
                    self.check_ops(&repeat.steps, messages)?;
                    self.check_ops(&repeat.between, messages)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_amount(&self, amount: &Amount) -> Result<(), ConfigError> {
        let Amount::Parameter(name) = amount else { return Ok(()) };
        match self.parameter(name) {
            Some(Parameter { kind: Kind::Int | Kind::Float, .. }) => Ok(()),
            Some(_) => {
                Err(ConfigError::key(&self.origin, "steps", format!("parameter {name:?} is not a number")))
            }
            None => {
                let known: Vec<String> = self.parameters.iter().map(|(name, _)| name.clone()).collect();
                let why = format!("no parameter {name:?}; {}", nearest(name, &known));
                Err(ConfigError::key(&self.origin, "steps", why))
            }
        }
    }

    /// The declared parameter of that name.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, parameter)| parameter)
    }

    /// File name of the definition without folder.
    pub fn file_name(&self) -> String {
        Path::new(&self.origin)
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }
}

fn put<T>(list: &mut Vec<(String, T)>, name: String, value: T) {
    match list.iter_mut().find(|(known, _)| *known == name) {
        Some(entry) => entry.1 = value,
        None => list.push((name, value)),
    }
}
