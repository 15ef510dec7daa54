//! What there is to call.

pub mod instructions;
pub mod list_tools;

use crate::ToolDef;

/// The group's tools.
pub const TOOLS: &[ToolDef] =
    &[ToolDef::of::<list_tools::ListAvailableTools>(), ToolDef::of::<instructions::GetServerInstructions>()];
