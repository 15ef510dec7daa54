//! `testbed.toml`: namespace, agents, default workflow, parameters.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{ConfigError, NOT_PARAMETERS, Sources, nearest, parse_toml, to_json};

/// Keys of `[workflow]`.
const WORKFLOW_KEYS: [&str; 7] =
    ["name", "version", "description", "config", "realtime", "duration", "includes"];
/// Keys of an `[agents.<name>]` table.
const AGENT_KEYS: [&str; 8] = [
    "enabled",
    "script",
    "count",
    "concurrency",
    "tf_files_per_stf",
    "tf_size_fraction",
    "tf_count_per_stf",
    "tf_sequence_start",
];

/// A loaded testbed file.
#[derive(Debug, Clone)]
pub struct Testbed {
    /// File it came from, or `shipped:testbed.toml`.
    pub origin: String,
    /// Namespace of this testbed.
    pub namespace: String,
    /// Agents in file order.
    pub agents: Vec<AgentEntry>,
    /// Folder of the file and the shipped files.
    pub sources: Sources,
    pub(crate) sections: Map<String, Value>,
}

/// One `[agents.<name>]` table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgentEntry {
    /// Name of the table: data, processing, fastmon, fast_processing, worker, stf-data, stf-processing.
    pub name: String,
    /// Whether it is started.
    pub enabled: bool,
    /// How many processes of it.
    pub count: u32,
    /// All its keys.
    pub settings: Map<String, Value>,
}

/// What `run_workflow` has to say for a testbed and an optional configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRequest {
    /// Namespace.
    pub namespace: String,
    /// Workflow.
    pub workflow_name: String,
    /// Configuration without `.toml`.
    pub config: Option<String>,
    /// Real or discrete time.
    pub realtime: bool,
    /// Limit in simulated seconds, 0 for none.
    pub duration: f64,
    /// `[parameters]`.
    pub params: Map<String, Value>,
}

impl Testbed {
    /// Load a testbed file. `name` as the contract has it: none → `testbed.toml` of `folder`, else the shipped one;
    /// a bare name → `<folder>/<name>`, with or without `.toml`; with `/` a path used as it is.
    ///
    /// # Errors
    /// One line that names file, key and what to change.
    pub fn load(folder: Option<&Path>, name: Option<&str>) -> Result<Self, ConfigError> {
        let Some(name) = name else {
            let sources = Sources::new(folder.map(Path::to_owned));
            return Self::read(sources, "testbed.toml")?.ok_or_else(|| unknown("testbed.toml"));
        };
        let path = PathBuf::from(name);
        let sources = if name.contains('/') {
            Sources::new(Some(path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned)))
        } else {
            Sources::new(folder.map(Path::to_owned))
        };
        let file = path.file_name().map_or_else(String::new, |file| file.to_string_lossy().into_owned());
        for candidate in [file.clone(), format!("{file}.toml"), format!("{file}_default.toml")] {
            // A path says which file is meant; only bare names may fall back on the shipped files.
            let there = !name.contains('/') || sources.folder().is_some_and(|f| f.join(&candidate).is_file());
            if candidate.ends_with(".toml")
                && there
                && let Some(testbed) = Self::read(sources.clone(), &candidate)?
            {
                return Ok(testbed);
            }
        }
        Err(unknown(name))
    }

    fn read(sources: Sources, file: &str) -> Result<Option<Self>, ConfigError> {
        let Some((origin, text)) = sources.read(file)? else { return Ok(None) };
        let mut sections = sections(&origin, &text)?;
        let known = sources.parameter_names();
        check_sections(&origin, &sections, &known.into_iter().collect::<Vec<_>>())?;
        let mut namespace_origin = origin.clone();
        if !sections.contains_key("testbed") && file != "testbed.toml" {
            // A workflow configuration used as testbed file takes the rest from testbed.toml.
            if let Some((base_origin, base)) = sources.read("testbed.toml")? {
                for (name, section) in self::sections(&base_origin, &base)? {
                    if matches!(name.as_str(), "testbed" | "agents") {
                        sections.entry(name).or_insert(section);
                    }
                }
                namespace_origin = base_origin;
            }
        }
        let namespace = namespace(&namespace_origin, &sections)?;
        let agents = agents(&sections);
        Ok(Some(Self { origin, namespace, agents, sources, sections }))
    }

    /// What to send to start the workflow of this testbed, or of the named configuration.
    ///
    /// # Errors
    /// One line that names file, key and what to change.
    pub fn run_request(&self, config: Option<&str>) -> Result<RunRequest, ConfigError> {
        let (origin, workflow, file) = match config {
            None => (self.origin.clone(), self.sections.get("workflow").cloned(), None),
            Some(name) => {
                let stem = name.strip_suffix(".toml").unwrap_or(name);
                super::check_name("configuration", stem)?;
                let (file, origin, text) = self.config_file(stem)?;
                let sections = sections(&origin, &text)?;
                let theirs = sections.get("testbed").and_then(|t| t.get("namespace")).and_then(Value::as_str);
                if let Some(theirs) = theirs
                    && theirs != self.namespace
                {
                    let why = format!(
                        "{theirs:?} is not {:?} of {}; remove it or make them equal, the agents follow one of them",
                        self.namespace, self.origin
                    );
                    return Err(ConfigError::key(&origin, "testbed.namespace", why));
                }
                (origin, sections.get("workflow").cloned(), Some(file))
            }
        };
        let workflow = workflow.unwrap_or_default();
        let text = |key: &str| workflow.get(key).and_then(Value::as_str).map(str::to_owned);
        let workflow_name = text("name").ok_or_else(|| {
            ConfigError::key(&origin, "workflow.name", "missing; say which workflow to run")
        })?;
        let params = self.sections.get("parameters").and_then(Value::as_object).cloned().unwrap_or_default();
        Ok(RunRequest {
            namespace: self.namespace.clone(),
            workflow_name,
            config: text("config").or(file),
            realtime: workflow.get("realtime").and_then(Value::as_bool).unwrap_or(true),
            duration: workflow.get("duration").and_then(Value::as_f64).unwrap_or(0.0),
            params,
        })
    }

    fn config_file(&self, stem: &str) -> Result<(String, String, String), ConfigError> {
        for name in [stem.to_owned(), format!("{stem}_default")] {
            if let Some((origin, text)) = self.sources.read(&format!("{name}.toml"))? {
                return Ok((name, origin, text));
            }
        }
        Err(ConfigError::Unknown {
            what: "configuration",
            name: stem.to_owned(),
            help: nearest(stem, &self.sources.config_names()),
        })
    }

    /// Work for another namespace than the file says.
    pub fn set_namespace(&mut self, namespace: &str) {
        namespace.clone_into(&mut self.namespace);
        let table = self.sections.entry("testbed").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(table) = table {
            table.insert("namespace".into(), namespace.into());
        }
    }

    /// Settings of an agent's table, empty when it has none.
    pub fn agent_settings(&self, name: &str) -> Map<String, Value> {
        self.agents
            .iter()
            .find(|entry| entry.name == name)
            .map(|entry| entry.settings.clone())
            .unwrap_or_default()
    }
}

fn unknown(name: &str) -> ConfigError {
    ConfigError::Unknown {
        what: "testbed file",
        name: name.to_owned(),
        help: "give the name of a file beside testbed.toml, or a path with a slash".into(),
    }
}

/// The sections of a file as JSON objects, in file order.
pub(super) fn sections(origin: &str, text: &str) -> Result<Map<String, Value>, ConfigError> {
    let table: toml::Table = parse_toml(origin, text)?;
    let mut sections = Map::new();
    for (name, value) in &table {
        if !value.is_table() {
            return Err(ConfigError::key(
                origin,
                name,
                "stands outside of a section; put it under a [section]",
            ));
        }
        sections.insert(name.clone(), to_json(value));
    }
    Ok(sections)
}

/// Refuse keys that nothing reads, with the nearest that is read.
pub(super) fn check_sections(
    origin: &str,
    sections: &Map<String, Value>,
    parameters: &[String],
) -> Result<(), ConfigError> {
    let check = |section: &str, table: &Value, known: &[String]| {
        let keys = table.as_object().into_iter().flat_map(Map::keys);
        for key in keys {
            if !known.contains(key) {
                let why = format!("unknown key; {}", nearest(key, known));
                return Err(ConfigError::key(origin, &format!("{section}.{key}"), why));
            }
        }
        Ok(())
    };
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (name, table) in sections {
        match name.as_str() {
            "testbed" => check(name, table, &owned(&["namespace"]))?,
            "workflow" => check(name, table, &owned(&WORKFLOW_KEYS))?,
            "agents" => {
                for (agent, table) in table.as_object().into_iter().flatten() {
                    check(&format!("agents.{agent}"), table, &owned(&AGENT_KEYS))?;
                }
            }
            name if NOT_PARAMETERS.contains(&name) => {}
            _ => check(name, table, parameters)?,
        }
    }
    Ok(())
}

fn namespace(origin: &str, sections: &Map<String, Value>) -> Result<String, ConfigError> {
    let wrong = |why: &str| ConfigError::key(origin, "testbed.namespace", why);
    let testbed = sections
        .get("testbed")
        .ok_or_else(|| wrong("missing; add a section [testbed] with namespace = \"<your name for it>\""))?;
    let namespace = match testbed.get("namespace") {
        Some(Value::String(text)) => text.trim(),
        Some(_) => return Err(wrong("must be a text")),
        None => return Err(wrong("missing; add namespace = \"<your name for it>\"")),
    };
    let fine = namespace.len() <= 100
        && namespace.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    match namespace {
        "" => Err(wrong("is empty; give it a name")),
        _ if !fine => Err(wrong("may hold letters, digits, _, - and . only")),
        _ => Ok(namespace.to_owned()),
    }
}

fn agents(sections: &Map<String, Value>) -> Vec<AgentEntry> {
    let tables = sections.get("agents").and_then(Value::as_object).into_iter().flatten();
    tables
        .map(|(name, table)| AgentEntry {
            name: name.clone(),
            enabled: table.get("enabled").and_then(Value::as_bool).unwrap_or(false),
            count: table.get("count").and_then(Value::as_u64).map_or(1, |n| n.clamp(1, 64) as u32),
            settings: table.as_object().cloned().unwrap_or_default(),
        })
        .collect()
}
