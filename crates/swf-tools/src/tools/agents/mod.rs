//! Agents: the processes of the testbed.

pub mod get;
pub mod list;

use crate::ToolDef;

/// The group's tools.
pub const TOOLS: &[ToolDef] = &[ToolDef::of::<list::ListAgents>(), ToolDef::of::<get::GetAgent>()];

/// Kinds of agents that the original's forms know; heartbeats may bring others.
pub const STATUSES: [&str; 5] = ["UNKNOWN", "OK", "WARNING", "ERROR", "EXITED"];
