//! Which programs a testbed configuration asks for.

use std::path::Path;

use crate::agent::Kind;
use crate::config::{AgentEntry, ConfigError, Testbed};

/// Keys of the production agents in configurations, which programs they are under supervisord, and
/// the kind of our own agent that does their work.
const PRODUCTION: [(&str, &str, Kind); 2] = [
    ("stf-data", "stf-data-agent", Kind::Data),
    ("stf-processing", "stf-processing-agent", Kind::Processing),
];

/// Why there is no plan, in one line with the way out.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{origin}: {why}")]
    Content { origin: String, why: String },
}

/// One program of a testbed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Program name, as supervisord's configuration has it too.
    pub(super) program: String,
    /// Kind of our own agent: `swf agent <kind>`.
    pub(super) kind: Kind,
    /// Number among the processes of this kind, from 1.
    pub(super) number: u32,
}

/// The programs of one testbed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// What the agents are given as `SWF_TESTBED_CONFIG`: an absolute path, or the name of a shipped file.
    pub(super) config: String,
    pub(super) namespace: String,
    /// The runner first, then the enabled agents in the order of the file, then workers.
    pub(super) members: Vec<Member>,
}

impl Plan {
    /// The plan of the named configuration, or of the default one of `folder`.
    /// `external_workers`: slices are worked on elsewhere unless the configuration says otherwise.
    pub(super) fn load(
        folder: Option<&Path>,
        name: Option<&str>,
        external_workers: bool,
    ) -> Result<Self, Error> {
        let testbed = Testbed::load(folder, name)?;
        let members = members(&testbed.agents, external_workers)
            .map_err(|why| Error::Content { origin: testbed.origin.clone(), why })?;
        let config = match testbed.origin.strip_prefix("shipped:") {
            Some(file) => file.to_owned(),
            None => std::path::absolute(&testbed.origin)
                .map_err(|error| Error::Content { origin: testbed.origin.clone(), why: error.to_string() })?
                .display()
                .to_string(),
        };
        Ok(Self { config, namespace: testbed.namespace, members })
    }

    /// Names of the programs.
    pub(super) fn programs(&self) -> Vec<String> {
        self.members.iter().map(|member| member.program.clone()).collect()
    }
}

/// Key, program and kind of every agent a configuration may enable.
fn known() -> impl Iterator<Item = (&'static str, &'static str, Kind)> {
    let ours = Kind::ALL.into_iter().filter_map(|kind| Some((kind.table()?, kind.program(), kind)));
    ours.chain(PRODUCTION)
}

fn members(entries: &[AgentEntry], external_workers: bool) -> Result<Vec<Member>, String> {
    let mut members =
        vec![Member { program: Kind::Runner.program().to_owned(), kind: Kind::Runner, number: 1 }];
    for entry in entries.iter().filter(|entry| entry.enabled) {
        let found = known().find(|(key, ..)| *key == entry.name);
        let (_, program, kind) = found.ok_or_else(|| unknown(&entry.name))?;
        add(&mut members, program, kind, entry.count).map_err(|other| {
            format!("[agents.{}] is the same kind of agent as {other}; enable one of them", entry.name)
        })?;
    }
    let fast = members.iter().any(|member| member.kind == Kind::FastProcessing);
    let said = entries.iter().any(|entry| Some(entry.name.as_str()) == Kind::Worker.table());
    if fast && !said && !external_workers {
        add(&mut members, Kind::Worker.program(), Kind::Worker, 1)?;
    }
    Ok(members)
}

fn unknown(key: &str) -> String {
    let known: Vec<&str> = known().map(|(key, ..)| key).collect();
    format!("[agents.{key}] is not a known agent; known: {}", known.join(", "))
}

/// Adds `count` processes of a kind; the error is the program that is of this kind already.
fn add(members: &mut Vec<Member>, program: &str, kind: Kind, count: u32) -> Result<(), String> {
    if let Some(other) = members.iter().find(|member| member.kind == kind) {
        return Err(other.program.clone());
    }
    for number in 1..=count {
        let program = if number == 1 { program.to_owned() } else { format!("{program}-{number}") };
        members.push(Member { program, kind, number });
    }
    Ok(())
}

/// Kind and id in an instance name `<type>-agent-<user>-<id>` of that user.
pub(super) fn instance(name: &str, user: &str) -> Option<(Kind, i64)> {
    let (kind, rest) = name.split_once("-agent-")?;
    let id = rest.strip_prefix(user)?.strip_prefix('-')?;
    let id = id.parse().ok().filter(|_| id.chars().all(|c| c.is_ascii_digit()))?;
    Kind::ALL.into_iter().find(|known| known.agent_type().to_lowercase() == kind).map(|kind| (kind, id))
}

/// The kind of agent a program is, whatever its number.
pub(super) fn kind_of_program(program: &str) -> Option<Kind> {
    let is = |name: &str| {
        let rest = program.strip_prefix(name);
        rest.is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok())
        })
    };
    let runner = (Kind::Runner.program(), Kind::Runner);
    std::iter::once(runner)
        .chain(known().map(|(_, name, kind)| (name, kind)))
        .find(|(name, _)| is(name))
        .map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str, external_workers: bool) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mine.toml"), text).unwrap();
        let plan = Plan::load(Some(folder.path()), Some("mine"), external_workers);
        plan.map(|plan| plan.programs()).map_err(|error| error.to_string())
    }

    const FAST: &str = "[testbed]\nnamespace = 'a'\n[agents.fastmon]\nenabled = true\n[agents.data]\n\
                        enabled = true\n[agents.processing]\nenabled = false\n[agents.fast_processing]\nenabled = true\n";

    #[test]
    fn enabled_agents_run_after_the_runner_and_a_worker_serves_fast_processing() {
        let want = [
            "workflow-runner",
            "example-fastmon-agent",
            "example-data-agent",
            "fast-processing-agent",
            "slice-worker",
        ];
        assert_eq!(plan(FAST, false).unwrap(), want);
        assert_eq!(plan(FAST, true).unwrap(), want[..4]);
        let without = format!("{FAST}[agents.worker]\nenabled = false\n");
        assert_eq!(plan(&without, false).unwrap(), want[..4]);
        let two = format!("{FAST}[agents.worker]\nenabled = true\ncount = 2\n");
        assert_eq!(plan(&two, true).unwrap()[4..], ["slice-worker", "slice-worker-2"]);
    }

    #[test]
    fn the_production_agents_are_known() {
        let text = "[testbed]\nnamespace='a'\n[agents.stf-data]\nenabled=true\n[agents.stf-processing]\nenabled=true";
        assert_eq!(plan(text, false).unwrap(), ["workflow-runner", "stf-data-agent", "stf-processing-agent"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_the_way_out() {
        let base = "[testbed]\nnamespace = 'a'\n[agents.data]\nenabled = true\n";
        let unknown = plan(&format!("{base}[agents.dta]\nenabled = true"), false).unwrap_err();
        assert!(unknown.contains("mine.toml: [agents.dta] is not a known agent; known: data, "), "{unknown}");
        let twice = plan(&format!("{base}[agents.stf-data]\nenabled = true"), false).unwrap_err();
        assert!(
            twice.ends_with("the same kind of agent as example-data-agent; enable one of them"),
            "{twice}"
        );
        assert!(plan("[testbed]", false).unwrap_err().contains("namespace"));
    }

    #[test]
    fn agents_get_the_chosen_file_by_its_absolute_path_or_its_shipped_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, "[testbed]\nnamespace = 'a'").unwrap();
        let own = Plan::load(Some(folder.path()), Some("mine"), false).unwrap();
        assert_eq!(own.config, path.display().to_string());
        let shipped = Plan::load(Some(folder.path()), None, false).unwrap();
        assert_eq!(shipped.config, "testbed.toml");
    }

    #[test]
    fn an_instance_name_tells_kind_and_id() {
        assert_eq!(instance("daq_simulator-agent-ann-12", "ann"), Some((Kind::Runner, 12)));
        assert_eq!(instance("data-agent-agent-smith-3", "agent-smith"), Some((Kind::Data, 3)));
        assert_eq!(instance("data-agent-bob-3", "ann"), None);
        assert_eq!(instance("data-agent-ann-x", "ann"), None);
        assert_eq!(instance("data-agent-ann--3", "ann"), None);
    }

    #[test]
    fn a_program_tells_the_kind_whatever_its_number() {
        assert_eq!(kind_of_program("stf-data-agent"), Some(Kind::Data));
        assert_eq!(kind_of_program("slice-worker-2"), Some(Kind::Worker));
        assert_eq!(kind_of_program("workflow-runner"), Some(Kind::Runner));
        assert_eq!(kind_of_program("slice-worker-two"), None);
    }
}
