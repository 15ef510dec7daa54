//! Log rows of agents and of the monitor.

pub mod list;

use crate::ToolDef;

/// The group's tools.
pub const TOOLS: &[ToolDef] = &[ToolDef::of::<list::ListLogs>()];
