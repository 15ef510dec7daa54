//! All tools, in the order of the documents.

use crate::{ToolDef, Toolset, tools};

/// Every registered tool.
pub fn all() -> impl Iterator<Item = &'static ToolDef> {
    tools::GROUPS.iter().flat_map(|group| group.iter())
}

/// A tool by its name on the wire.
pub fn find(name: &str) -> Option<&'static ToolDef> {
    all().find(|t| t.name == name)
}

/// Names of all tools, for error texts.
pub fn names() -> Vec<&'static str> {
    all().map(|t| t.name).collect()
}

/// The tools that a caller is shown: of the chosen sets, and without writing ones in read-only mode.
pub fn visible(toolsets: &[Toolset], read_only: bool) -> impl Iterator<Item = &'static ToolDef> {
    all().filter(move |t| toolsets.contains(&t.toolset) && !(read_only && !t.hints.read_only))
}
