//! `get_server_instructions`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cx, Error, Scope, Tool, Toolset, registry};

/// How to use this server: which tool answers which question, and the rules that hold for all tools.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetServerInstructions {}

/// The text.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Instructions {
    instructions: String,
}

impl Tool for GetServerInstructions {
    const NAME: &'static str = "get_server_instructions";
    const TITLE: &'static str = "Server instructions";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = "{}";
    type Output = Instructions;

    async fn run(self, _: &Cx) -> Result<Instructions, Error> {
        Ok(Instructions { instructions: registry::instructions(&Toolset::ALL, false) })
    }
}
