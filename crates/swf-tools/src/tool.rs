//! What a tool is, and the plain table entry that the surfaces use.

use std::future::Future;
use std::pin::Pin;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Cx, Error, Scope};

/// One operation: its input is the type itself, its text the doc comments of the type and its fields.
pub trait Tool: DeserializeOwned + JsonSchema + Send + 'static {
    /// Name on the wire, fixed by clients.
    const NAME: &'static str;
    /// Short human title.
    const TITLE: &'static str;
    /// What a caller needs.
    const SCOPE: Scope;
    /// The set it belongs to.
    const TOOLSET: Toolset;
    /// Arguments (JSON) of a call that works on the sample data.
    const EXAMPLE: &'static str;
    /// What it does to the world.
    const HINTS: Hints = Hints::READ;
    /// The answer.
    type Output: Serialize + JsonSchema + Send;

    /// Does it.
    fn run(self, cx: &Cx) -> impl Future<Output = Result<Self::Output, Error>> + Send;
}

/// Groups that an installation, a URL or a client can choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Toolset {
    /// State of the testbed.
    Monitor,
    /// Start, stop, send, kill.
    Control,
    /// PanDA production.
    Panda,
    /// Production tags.
    Pcs,
    /// AI memory.
    Memory,
}

impl Toolset {
    /// All of them, in the order of the documents.
    pub const ALL: [Toolset; 5] =
        [Toolset::Monitor, Toolset::Control, Toolset::Panda, Toolset::Pcs, Toolset::Memory];

    /// Name in configuration, URL and header.
    pub fn as_str(self) -> &'static str {
        match self {
            Toolset::Monitor => "monitor",
            Toolset::Control => "control",
            Toolset::Panda => "panda",
            Toolset::Pcs => "pcs",
            Toolset::Memory => "memory",
        }
    }
}

impl std::str::FromStr for Toolset {
    type Err = String;
    fn from_str(s: &str) -> Result<Toolset, String> {
        Toolset::ALL
            .into_iter()
            .find(|t| t.as_str() == s)
            .ok_or_else(|| format!("toolset {s:?} is not one of monitor, control, panda, pcs, memory"))
    }
}

/// What clients may assume about a call, as MCP's tool annotations put it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hints {
    /// Changes nothing.
    pub read_only: bool,
    /// May end or remove something.
    pub destructive: bool,
    /// A second identical call changes nothing more.
    pub idempotent: bool,
}

impl Hints {
    /// Looks only.
    pub const READ: Hints = Hints { read_only: true, destructive: false, idempotent: true };
    /// Adds something new at each call.
    pub const ADD: Hints = Hints { read_only: false, destructive: false, idempotent: false };
    /// Ends something; doing it twice is the same as once.
    pub const END: Hints = Hints { read_only: false, destructive: true, idempotent: true };
}

type Run = fn(Value, Cx) -> Pin<Box<dyn Future<Output = Result<Value, Error>> + Send>>;

/// A registered tool.
#[derive(Clone, Copy)]
pub struct ToolDef {
    /// Name on the wire.
    pub name: &'static str,
    /// Short human title.
    pub title: &'static str,
    /// What a caller needs.
    pub scope: Scope,
    /// The set it belongs to.
    pub toolset: Toolset,
    /// What it does to the world.
    pub hints: Hints,
    /// Arguments of a call that works on the sample data.
    pub example: &'static str,
    input: fn() -> Value,
    output: fn() -> Value,
    run: Run,
}

impl ToolDef {
    /// The entry of a tool.
    pub const fn of<T: Tool>() -> ToolDef {
        ToolDef {
            name: T::NAME,
            title: T::TITLE,
            scope: T::SCOPE,
            toolset: T::TOOLSET,
            hints: T::HINTS,
            example: T::EXAMPLE,
            input: crate::args::input_schema::<T>,
            output: crate::args::output_schema::<T::Output>,
            run: run::<T>,
        }
    }

    /// JSON schema of the arguments, lean: no titles, no null types, no `$ref`.
    pub fn input_schema(&self) -> Value {
        (self.input)()
    }

    /// JSON schema of the answer.
    pub fn output_schema(&self) -> Value {
        (self.output)()
    }

    /// The tool's text: the doc comment of its type.
    pub fn description(&self) -> String {
        let schema = self.input_schema();
        schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
    }

    pub(crate) async fn run(&self, arguments: Value, cx: Cx) -> Result<Value, Error> {
        (self.run)(arguments, cx).await
    }
}

fn run<T: Tool>(arguments: Value, cx: Cx) -> Pin<Box<dyn Future<Output = Result<Value, Error>> + Send>> {
    Box::pin(async move {
        let tool: T = crate::args::read::<T>(arguments)?;
        let output = tool.run(&cx).await?;
        serde_json::to_value(output).map_err(Error::internal)
    })
}
