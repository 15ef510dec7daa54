//! All tools, in the order of the documents.

use crate::{ToolDef, Toolset, tools};

/// Every registered tool.
pub fn all() -> impl Iterator<Item = &'static ToolDef> {
    tools::GROUPS.iter().flat_map(|group| group.iter())
}

/// A tool by its name on the wire.
pub fn find(name: &str) -> Option<&'static ToolDef> {
    // Documents of the original, which models have read, write some names without their prefix.
    all().find(|t| t.name == name || t.name.strip_prefix("swf_") == Some(name))
}

/// Names of all tools, for error texts.
pub fn names() -> Vec<&'static str> {
    all().map(|t| t.name).collect()
}

/// The tools that a caller is shown: of the chosen sets, and without writing ones in read-only mode.
pub fn visible(toolsets: &[Toolset], read_only: bool) -> impl Iterator<Item = &'static ToolDef> {
    all().filter(move |t| toolsets.contains(&t.toolset) && (!read_only || t.hints.read_only))
}

/// The first sentence of a tool's text.
pub fn first_sentence(text: &str) -> String {
    match text.split_once(". ") {
        Some((first, _)) => format!("{first}."),
        None => text.to_owned(),
    }
}

/// Argument names of a tool.
pub fn parameters(tool: &ToolDef) -> Vec<String> {
    let schema = tool.input_schema();
    let properties = schema.get("properties").and_then(|p| p.as_object());
    properties.into_iter().flat_map(|p| p.keys().cloned()).collect()
}

/// The instruction text for the tools that a caller is shown.
pub fn instructions(toolsets: &[Toolset], read_only: bool) -> String {
    let mut out = String::from(
        "swf monitors and steers the ePIC streaming-workflow testbed and watches PanDA production.\n\
         Rules for all tools: arguments are optional unless required; times are ISO 8601, answers are in UTC. \
         List answers have items, total_count, has_more; when has_more is true, call again with exactly the \
         arguments in `next`. `as_of` says when and over which window and filters the answer was true. \
         An error names the wrong value and what is accepted. monitor_urls are pages for people. \
         Where a list has `detail`, brief is short and full has every field.\n\
         What is wrong? swf_triage. What changed? swf_diff. What is running? \
         swf_list_workflow_executions(currently_running=true). Ready to start? swf_get_system_state.\n\
         After swf_start_workflow poll swf_get_workflow_monitor with the returned execution_id every 10-15 s \
         until status is no longer running, then look at swf_list_logs(level='ERROR').\n",
    );
    for set in toolsets {
        let names: Vec<&str> = visible(&[*set], read_only).map(|t| t.name).collect();
        if !names.is_empty() {
            out.push_str(&format!("{}: {}\n", set_purpose(*set), names.join(", ")));
        }
    }
    out
}

fn set_purpose(set: Toolset) -> &'static str {
    match set {
        Toolset::Monitor => "Look at the testbed",
        Toolset::Control => "Change things (needs the control scope)",
        Toolset::Panda => "PanDA production, read-only",
        Toolset::Pcs => "Physics configuration tags",
        Toolset::Memory => "AI memory",
    }
}
