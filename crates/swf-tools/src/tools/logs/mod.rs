//! Log rows of agents and of the monitor.

pub mod get;
pub mod list;

use crate::ToolDef;

/// The group's tools.
pub const TOOLS: &[ToolDef] = &[ToolDef::of::<list::ListLogs>(), ToolDef::of::<get::GetLogEntry>()];

/// Columns of an entry, named like the answers' fields.
const COLUMNS: &str = "id, timestamp, app_name, instance_name, levelname AS level, message, module, funcname, \
                       lineno, extra_data";
