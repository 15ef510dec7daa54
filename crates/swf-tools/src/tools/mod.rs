//! The tools, one file each, in groups; [`GROUPS`] is the only list of them.

pub mod panda;

use crate::ToolDef;

/// All groups, in the order of the documents.
pub const GROUPS: &[&[ToolDef]] = &[panda::TOOLS];
