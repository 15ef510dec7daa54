//! Captured workflow messages.

pub mod list;
pub mod send;

use crate::ToolDef;

/// The group's tools.
pub const TOOLS: &[ToolDef] = &[ToolDef::of::<list::ListMessages>(), ToolDef::of::<send::SendMessage>()];
