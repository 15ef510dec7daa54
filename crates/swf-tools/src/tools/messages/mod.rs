//! Captured workflow messages.

pub mod list;

use crate::ToolDef;

/// The group's tools.
pub const TOOLS: &[ToolDef] = &[ToolDef::of::<list::ListMessages>()];
