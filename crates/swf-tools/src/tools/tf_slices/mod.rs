//! TF slices: the work units of fast processing.

pub mod get;
pub mod list;

use crate::ToolDef;

/// The group's tools.
pub const TOOLS: &[ToolDef] = &[ToolDef::of::<list::ListTfSlices>(), ToolDef::of::<get::GetTfSlice>()];

/// What our agents and the original's write as a slice's status.
pub const STATUSES: [&str; 4] = ["queued", "processing", "completed", "failed"];
