//! Where configuration files come from: the folder of `testbed.toml` first, then the files inside the binary.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::ConfigError;
use crate::workflow::Definition;

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../workflows/", $name)))),*]
    };
}

/// Files inside the binary.
const SHIPPED: &[(&str, &str)] = shipped![
    "daq_state_machine.toml",
    "fast_processing.workflow.toml",
    "fast_processing_default.toml",
    "prompt_processing.toml",
    "prompt_processing.workflow.toml",
    "prompt_processing_default.toml",
    "stf_datataking.workflow.toml",
    "stf_datataking_default.toml",
    "stf_processing.workflow.toml",
    "stf_processing_default.toml",
    "testbed.toml",
];

/// Where files are looked for.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    folder: Option<PathBuf>,
}

/// A workflow that can be started.
#[derive(Debug, Clone, Serialize)]
pub struct WorkflowListing {
    /// Name for `run_workflow`.
    pub name: String,
    /// Version text.
    pub version: String,
    /// One line for people.
    pub description: String,
    /// File or `shipped:<file>`.
    pub origin: String,
    /// Why the definition cannot be used, when it cannot.
    pub problem: Option<String>,
}

impl Sources {
    /// Files of a folder, then the shipped ones. None: only the shipped ones.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    /// The folder that is looked at first.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Origin and text of a file, or none when it is nowhere.
    pub(crate) fn read(&self, name: &str) -> Result<Option<(String, String)>, ConfigError> {
        if let Some(folder) = &self.folder {
            let path = folder.join(name);
            match std::fs::read_to_string(&path) {
                Ok(text) => return Ok(Some((path.display().to_string(), text))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(ConfigError::Read {
                        file: path.display().to_string(),
                        why: error.to_string(),
                    });
                }
            }
        }
        let shipped = SHIPPED.iter().find(|(known, _)| *known == name);
        Ok(shipped.map(|(_, text)| (format!("shipped:{name}"), (*text).to_owned())))
    }

    /// Names of all files, folder and shipped, sorted.
    fn file_names(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = SHIPPED.iter().map(|(name, _)| (*name).to_owned()).collect();
        let entries = self.folder.as_ref().and_then(|folder| std::fs::read_dir(folder).ok());
        for entry in entries.into_iter().flatten().flatten() {
            if let Ok(name) = entry.file_name().into_string() {
                names.insert(name);
            }
        }
        names
    }

    /// Names of the workflows that have a definition.
    pub fn workflow_names(&self) -> Vec<String> {
        let names = self.file_names();
        names.iter().filter_map(|name| name.strip_suffix(".workflow.toml")).map(str::to_owned).collect()
    }

    /// Names of the configurations (`<name>.toml` that are no definitions).
    pub fn config_names(&self) -> Vec<String> {
        let names = self.file_names();
        names
            .iter()
            .filter(|name| !name.ends_with(".workflow.toml"))
            .filter_map(|name| name.strip_suffix(".toml"))
            .filter(|name| !matches!(*name, "testbed" | "daq_state_machine"))
            .map(str::to_owned)
            .collect()
    }

    /// All workflows with what can be said about them; a broken file is listed with its problem.
    pub fn workflows(&self) -> Vec<WorkflowListing> {
        let list = |name: String| match Definition::load(self, &name) {
            Ok(definition) => WorkflowListing {
                name,
                version: definition.version,
                description: definition.description,
                origin: definition.origin,
                problem: None,
            },
            Err(error) => WorkflowListing {
                name,
                version: String::new(),
                description: String::new(),
                origin: String::new(),
                problem: Some(error.to_string()),
            },
        };
        self.workflow_names().into_iter().map(list).collect()
    }

    /// Keys that some workflow declares: what a parameter section may hold.
    pub(crate) fn parameter_names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for name in self.workflow_names() {
            if let Ok(definition) = Definition::load(self, &name) {
                names.extend(definition.parameters.into_iter().map(|(name, _)| name));
            }
        }
        // Configurations in the field hold it in [simulation]; the request decides about real time.
        names.insert("realtime".into());
        names
    }
}
