//! Which programs a testbed configuration asks for.

use std::path::{Path, PathBuf};

/// The agents that a configuration may enable: its key, the program, the kind of our own agent.
const AGENTS: [(&str, &str, &str); 6] = [
    ("data", "example-data-agent", "data"),
    ("processing", "example-processing-agent", "processing"),
    ("fastmon", "example-fastmon-agent", "fastmon"),
    ("fast_processing", "fast-processing-agent", "fast-processing"),
    ("stf-data", "stf-data-agent", "data"),
    ("stf-processing", "stf-processing-agent", "processing"),
];
/// Runs in every testbed.
const RUNNER: (&str, &str) = ("workflow-runner", "runner");
/// Stands in for PanDA's workers.
const WORKER: (&str, &str) = ("slice-worker", "worker");

/// Program of each agent type (lower case) as it begins an instance name.
const TYPES: [(&str, &str); 6] = [
    ("daq_simulator", "runner"),
    ("data", "data"),
    ("stf_processing", "processing"),
    ("fastmon", "fastmon"),
    ("fast_processing", "fast-processing"),
    ("slice_worker", "worker"),
];

/// What is wrong with a configuration, and what to do.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Error {
    #[error("configuration name {0:?}: use letters, digits, '-', '_' and '.', or give a path with '/'")]
    Name(String),
    #[error("no configuration {name:?}; looked for {}", paths(.tried))]
    Missing { name: String, tried: Vec<PathBuf> },
    #[error("cannot read {}: {why}", .path.display())]
    Read { path: PathBuf, why: String },
    #[error("{}: {why}", .path.display())]
    Content { path: PathBuf, why: String },
}

fn paths(tried: &[PathBuf]) -> String {
    tried.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// One program of a testbed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Program name, as supervisord's configuration has it too.
    pub(super) program: &'static str,
    /// Kind of our own agent: `swf agent <kind>`.
    pub(super) kind: &'static str,
}

/// A testbed configuration, as far as the manager needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Testbed {
    /// Absolute path of the file.
    pub(super) path: PathBuf,
    pub(super) namespace: String,
    /// The runner first, then the enabled agents in the order of the file, then the worker.
    pub(super) members: Vec<Member>,
}

impl Testbed {
    /// The file a configuration name means: a path when it has a `/` (relative to `folders`
    /// too), else `<name>`, `<name>.toml` or `<name>_default.toml` in the first folder that has one.
    pub(super) fn find(name: &str, folders: &[PathBuf]) -> Result<PathBuf, Error> {
        let names = if name.contains('/') {
            vec![name.to_owned(), format!("{name}.toml")]
        } else {
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if name.is_empty() || !name.chars().all(known) || name.starts_with('.') {
                return Err(Error::Name(name.to_owned()));
            }
            vec![name.to_owned(), format!("{name}.toml"), format!("{name}_default.toml")]
        };
        let tried: Vec<PathBuf> =
            folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name))).collect();
        match tried.iter().find(|path| path.is_file()) {
            Some(path) => Ok(path.clone()),
            None => Err(Error::Missing { name: name.to_owned(), tried }),
        }
    }

    /// Reads a configuration. `external_workers`: slices are worked on elsewhere.
    pub(super) fn load(path: &Path, external_workers: bool) -> Result<Self, Error> {
        let unreadable = |error: std::io::Error| Error::Read { path: path.into(), why: error.to_string() };
        let path = std::path::absolute(path).map_err(unreadable)?;
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        Self::parse(&path, &text, external_workers)
    }

    fn parse(path: &Path, text: &str, external_workers: bool) -> Result<Self, Error> {
        let wrong = |why: String| Error::Content { path: path.into(), why };
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| wrong(format!("no TOML: {}", one_line(&error))))?;
        let testbed = table.get("testbed").and_then(toml::Value::as_table);
        let testbed = testbed.ok_or_else(|| wrong("it has no [testbed] section with a namespace".to_owned()))?;
        let namespace = testbed.get("namespace").and_then(toml::Value::as_str).map_or("", str::trim);
        if namespace.is_empty() {
            return Err(wrong("[testbed] needs a namespace, such as namespace = \"torre1\"".to_owned()));
        }
        let mut members = vec![Member { program: RUNNER.0, kind: RUNNER.1 }];
        for (key, section) in table.get("agents").and_then(toml::Value::as_table).into_iter().flatten() {
            if enabled(key, section).map_err(&wrong)? {
                members.push(agent(key, &members).map_err(&wrong)?);
            }
        }
        let fast = members.iter().any(|member| member.kind == "fast-processing");
        let section = table.get("fast_processing").and_then(toml::Value::as_table);
        let elsewhere = match section.and_then(|section| section.get("external_workers")) {
            None => external_workers,
            Some(toml::Value::Boolean(elsewhere)) => *elsewhere,
            Some(other) => {
                return Err(wrong(format!("[fast_processing] external_workers = {other}: use true or false")));
            }
        };
        if fast && !elsewhere {
            members.push(Member { program: WORKER.0, kind: WORKER.1 });
        }
        Ok(Self { path: path.to_owned(), namespace: namespace.to_owned(), members })
    }

    /// Names of the programs.
    pub(super) fn programs(&self) -> Vec<String> {
        self.members.iter().map(|member| member.program.to_owned()).collect()
    }
}

/// The kind of agent behind an instance name `<type>-agent-<user>-<id>` of that user.
pub(super) fn kind_of_instance(name: &str, user: &str) -> Option<&'static str> {
    let (kind, rest) = name.split_once("-agent-")?;
    let id = rest.strip_prefix(user)?.strip_prefix('-')?;
    let is_id = !id.is_empty() && id.chars().all(|c| c.is_ascii_digit());
    TYPES.iter().find(|(name, _)| is_id && *name == kind).map(|(_, kind)| *kind)
}

/// The kind of agent a program is.
pub(super) fn kind_of_program(program: &str) -> Option<&'static str> {
    let fixed = [RUNNER, WORKER];
    let agents = AGENTS.iter().map(|(_, name, kind)| (*name, *kind));
    fixed.into_iter().chain(agents).find(|(name, _)| *name == program).map(|(_, kind)| kind)
}

fn enabled(key: &str, section: &toml::Value) -> Result<bool, String> {
    let table = section.as_table().ok_or_else(|| format!("agents.{key} is no section"))?;
    match table.get("enabled") {
        None => Ok(false),
        Some(toml::Value::Boolean(enabled)) => Ok(*enabled),
        Some(other) => Err(format!("[agents.{key}] enabled = {other}: use true or false")),
    }
}

fn agent(key: &str, members: &[Member]) -> Result<Member, String> {
    let found = AGENTS.iter().find(|(known, ..)| *known == key);
    let Some((_, program, kind)) = found else {
        let known: Vec<&str> = AGENTS.iter().map(|(known, ..)| *known).collect();
        return Err(format!("[agents.{key}] is not a known agent; known: {}", known.join(", ")));
    };
    match members.iter().find(|member| member.kind == *kind) {
        Some(other) => Err(format!("[agents.{key}] is the same kind of agent as {}; enable one", other.program)),
        None => Ok(Member { program, kind }),
    }
}

fn one_line(error: &toml::de::Error) -> String {
    error.to_string().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<String>, String> {
        let testbed = Testbed::parse(Path::new("/x/testbed.toml"), text, false);
        testbed.map(|testbed| testbed.programs()).map_err(|error| error.to_string())
    }

    #[test]
    fn enabled_agents_run_after_the_runner_and_a_worker_serves_fast_processing() {
        let text = "[testbed]\nnamespace = 'a'\n[agents.fastmon]\nenabled = true\n[agents.data]\nenabled = true\n\
                    [agents.processing]\nenabled = false\n[agents.fast_processing]\nenabled = true\n";
        let want =
            ["workflow-runner", "example-fastmon-agent", "example-data-agent", "fast-processing-agent", "slice-worker"];
        assert_eq!(parse(text).unwrap(), want);
        let outside = format!("{text}[fast_processing]\nexternal_workers = true\n");
        assert_eq!(parse(&outside).unwrap(), want[..4]);
    }

    #[test]
    fn the_production_agents_are_known() {
        let text = "[testbed]\nnamespace='a'\n[agents.stf-data]\nenabled=true\n[agents.stf-processing]\nenabled=true";
        assert_eq!(parse(text).unwrap(), ["workflow-runner", "stf-data-agent", "stf-processing-agent"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_the_way_out() {
        let base = "[testbed]\nnamespace = 'a'\n";
        for (text, words) in [
            ("x", "no TOML"),
            ("[workflow]", "no [testbed] section"),
            ("[testbed]\nnamespace = ''", "needs a namespace"),
            (&format!("{base}[agents.dta]\nenabled = true"), "known: data, processing, fastmon, fast_processing"),
            (&format!("{base}[agents.data]\nenabled = 'yes'"), "use true or false"),
            (
                &format!("{base}[agents.data]\nenabled = true\n[agents.stf-data]\nenabled = true"),
                "same kind of agent as example-data-agent",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with("/x/testbed.toml: ") && error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_name_is_looked_up_with_its_suffixes_and_never_leaves_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().to_owned()];
        std::fs::write(folder.path().join("fast_processing_default.toml"), "").unwrap();
        let found = Testbed::find("fast_processing", &folders).unwrap();
        assert_eq!(found, folder.path().join("fast_processing_default.toml"));
        assert_eq!(Testbed::find(found.to_str().unwrap(), &folders).unwrap(), found);
        let missing = Testbed::find("slow", &folders).unwrap_err().to_string();
        assert!(missing.contains("slow_default.toml"), "{missing}");
        for name in ["", "..", "a b", ".hidden"] {
            assert_eq!(Testbed::find(name, &folders), Err(Error::Name(name.to_owned())));
        }
    }

    #[test]
    fn an_instance_name_tells_the_kind() {
        assert_eq!(kind_of_instance("daq_simulator-agent-ann-12", "ann"), Some("runner"));
        assert_eq!(kind_of_instance("data-agent-agent-smith-3", "agent-smith"), Some("data"));
        assert_eq!(kind_of_instance("data-agent-bob-3", "ann"), None);
        assert_eq!(kind_of_instance("data-agent-ann-x", "ann"), None);
        assert_eq!(kind_of_program("stf-data-agent"), Some("data"));
        assert_eq!(kind_of_program("slice-worker"), Some("worker"));
    }
}
