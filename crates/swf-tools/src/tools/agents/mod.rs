//! Agents: the processes of the testbed.

pub mod get;
pub mod kill;
pub mod list;
mod process;

use crate::ToolDef;

/// The group's tools.
pub const TOOLS: &[ToolDef] =
    &[ToolDef::of::<list::ListAgents>(), ToolDef::of::<get::GetAgent>(), ToolDef::of::<kill::KillAgent>()];

/// Every status an agent can have.
pub const STATUSES: [&str; 5] = ["UNKNOWN", "OK", "WARNING", "ERROR", "EXITED"];
