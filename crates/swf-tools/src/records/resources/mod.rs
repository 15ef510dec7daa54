//! The resources, one file each; [`super::RECORDS`] is the only list of them.

pub mod fastmon_files;
pub mod logs;
pub mod run_states;
pub mod runs;
pub mod stf_files;
pub mod subscribers;
pub mod system_state_events;
pub mod systemagents;
pub mod tf_slices;
pub mod workers;
pub mod workflow_definitions;
pub mod workflow_executions;
pub mod workflow_messages;
pub mod workflow_stages;
pub mod workflows;
