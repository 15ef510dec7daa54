//! `swf_list_available_tools`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cx, Error, Scope, Tool, Toolset, registry};

/// List every tool of this server with its one-line purpose and argument names.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListAvailableTools {}

/// A tool in brief.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ToolLine {
    name: &'static str,
    description: String,
    parameters: Vec<String>,
}

impl Tool for ListAvailableTools {
    const NAME: &'static str = "swf_list_available_tools";
    const TITLE: &'static str = "List tools";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = "{}";
    type Output = Vec<ToolLine>;

    async fn run(self, _: &Cx) -> Result<Vec<ToolLine>, Error> {
        let line = |tool: &crate::ToolDef| ToolLine {
            name: tool.name,
            description: registry::first_sentence(&tool.description()),
            parameters: registry::parameters(tool),
        };
        Ok(registry::all().map(line).collect())
    }
}
