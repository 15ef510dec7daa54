//! The daemons of the testbed: workflow runner, data, processing, fastmon and fast-processing agents, slice worker,
//! and the agent manager.
//!
//! *Invariant:* nothing here reads the environment; the binary fills [`Config`].
//! *Invariant:* a message is acknowledged only after everything that follows from it is done (rows written,
//! follow-up messages confirmed by the broker), so a killed agent gets it again; every handler can be repeated.

pub mod agent;
pub mod config;
pub mod kinds;
pub mod logs;
pub mod manager;
pub mod supervise;
mod trust;
pub mod workflow;

pub use agent::{Config, Kind, run_agent, shutdown_on_signals};
pub use config::{ConfigError, RunRequest, Sources, Testbed, WorkflowListing};
pub use kinds::runner::{RunWorkflow, run_once};
pub use trust::Trust;

/// The time now as agents write it: UTC with offset and microseconds.
pub fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, false)
}

/// Workflows that can be started with these sources: the shipped definitions and those beside `testbed.toml`.
pub fn workflows(sources: &Sources) -> Vec<WorkflowListing> {
    sources.workflows()
}
