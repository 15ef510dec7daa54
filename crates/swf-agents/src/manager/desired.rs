//! What the manager should be running, kept on disk over its own death.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Where the desired state is kept: `<data>/agent-manager/<user>.json`.
#[derive(Debug)]
pub(super) struct Desired {
    path: PathBuf,
}

/// A testbed that should be up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wanted {
    /// Configuration: an absolute path, or the name of a shipped file.
    pub(super) config: String,
    pub(super) namespace: String,
    /// Names of its programs.
    pub(super) programs: Vec<String>,
    /// Message id of the command that asked for it: one delivered again after a crash was obeyed.
    #[serde(default)]
    pub(super) asked_by: Option<String>,
    /// When it was asked for.
    pub(super) since: DateTime<Utc>,
}

impl Desired {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was wanted; `None` when nothing was.
    pub(super) fn read(&self) -> std::io::Result<Option<Wanted>> {
        match std::fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(std::io::Error::other),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it whole or not at all.
    pub(super) fn write(&self, wanted: &Wanted) -> std::io::Result<()> {
        let fresh = self.path.with_extension("new");
        std::fs::write(&fresh, serde_json::to_vec_pretty(wanted)?)?;
        std::fs::rename(&fresh, &self.path)
    }

    /// Nothing is wanted from now on.
    pub(super) fn clear(&self) -> std::io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_read_as_it_was_written_until_it_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let desired = Desired::new(folder.path().join("ann.json"));
        assert_eq!(desired.read().unwrap(), None);
        let wanted = Wanted {
            config: "/x/a.toml".to_owned(),
            namespace: "a".to_owned(),
            programs: vec!["workflow-runner".to_owned()],
            asked_by: Some("m1".to_owned()),
            since: Utc::now(),
        };
        desired.write(&wanted).unwrap();
        assert_eq!(desired.read().unwrap(), Some(wanted));
        desired.clear().unwrap();
        desired.clear().unwrap();
        assert_eq!(desired.read().unwrap(), None);
    }

    #[test]
    fn a_broken_file_is_an_error_and_not_a_testbed() {
        let folder = tempfile::tempdir().unwrap();
        let desired = Desired::new(folder.path().join("ann.json"));
        std::fs::write(desired.path(), "{").unwrap();
        assert!(desired.read().is_err());
    }
}
