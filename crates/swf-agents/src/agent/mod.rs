//! What all agents share: settings, identity, life cycle, heartbeats, message intake and sending.

mod heartbeat;
mod identity;
mod intake;
mod kind;
mod life;
mod link;

pub use heartbeat::{Health, Operational};
pub use kind::Kind;
pub use life::{run_agent, shutdown_on_signals};

pub(crate) use heartbeat::Pulse;
pub(crate) use intake::{
    Incoming, Refused, Work, acknowledge, as_number, is_transient, read, turn_down, work_loop,
};
pub(crate) use life::{PREFETCH, start, wait_for_monitor};
pub(crate) use link::{Link, Outgoing, derived_uid};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::Testbed;
use crate::logs::LogQueue;
use crate::trust::Trust;

/// Everything an agent needs to know. Start from [`Config::new`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Testbed file: namespace, agent settings, where workflow files are.
    pub testbed: Testbed,
    /// Namespace the agent works for; the testbed's unless the caller says otherwise.
    pub namespace: String,
    /// Login user.
    pub user: String,
    /// Name of this machine.
    pub hostname: String,
    /// Folder for identities, `<data>/agents/`.
    pub data_dir: PathBuf,
    /// Number of this process among several of one kind; none for the only one.
    pub instance: Option<u32>,
    /// How to reach the monitor.
    pub monitor: swf_client::ClientConfig,
    /// How to reach the broker; the client id is filled in by the agent.
    pub broker: swf_stomp::ClientConfig,
    /// Topic of run lifecycle and data messages.
    pub topic: String,
    /// Where slices go; `{namespace}` is filled in.
    pub slices_destination: String,
    /// Where workers hear of runs.
    pub workers_destination: String,
    /// Where slice results come back; `{namespace}` is filled in.
    pub results_destination: String,
    /// Messages of processed files; nobody of ours listens there.
    pub processed_destination: String,
    /// Agents beat this often; three missed beats are stale for the monitor.
    pub heartbeat: Duration,
    /// Slices a worker has at hand at a time; none for `[agents.worker]` of the testbed file, else 30.
    pub concurrency: Option<usize>,
    /// Environment values that folder parameters may name (`HOME`, `SWF_PROMPT_PROCESSING_CONTAINER`, …).
    pub variables: BTreeMap<String, String>,
    /// Log records to ship to the monitor; none ships nothing.
    pub logs: Option<LogQueue>,
    /// Which commands are obeyed.
    pub trust: Trust,
}

impl Config {
    /// Settings for a testbed with the usual destinations.
    pub fn new(testbed: Testbed, user: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            namespace: testbed.namespace.clone(),
            testbed,
            user: user.into(),
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            data_dir: data_dir.into(),
            instance: None,
            monitor: swf_client::ClientConfig::default(),
            broker: swf_stomp::ClientConfig::default(),
            topic: "/topic/epictopic".into(),
            slices_destination: "/queue/panda.transformer.slices.{namespace}".into(),
            workers_destination: "/topic/panda.workers".into(),
            results_destination: "/queue/panda.results.fastprocessing.{namespace}".into(),
            processed_destination: "/queue/monitoring_agent".into(),
            heartbeat: Duration::from_secs(20),
            concurrency: None,
            variables: BTreeMap::new(),
            logs: None,
            trust: Trust::default(),
        }
    }

    /// Destination with the namespace filled in.
    pub(crate) fn place(&self, destination: &str) -> String {
        destination.replace("{namespace}", &self.namespace)
    }
}
