//! The state of the whole.

pub mod get_state;

use crate::ToolDef;

/// The group's tools.
pub const TOOLS: &[ToolDef] = &[ToolDef::of::<get_state::GetSystemState>()];
