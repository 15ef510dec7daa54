//! MCP: the registry as tools of a server, over Streamable HTTP and stdio.
//!
//! *Invariant:* this module lists no tool; everything comes from the registry and passes [`Gate::call`].

mod http;
mod sessions;

pub use http::{Config, router};
pub use sessions::Sessions;

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::{RequestContext, RoleServer, ServiceExt};
use serde_json::{Value, json};
use swf_tools::{Caller, Error, Gate, Service, Surface, ToolDef, Toolset, registry};

/// Which tools a connection is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The sets.
    pub toolsets: Vec<Toolset>,
    /// Hides every tool that changes something.
    pub read_only: bool,
}

impl Default for View {
    fn default() -> View {
        View { toolsets: Toolset::ALL.to_vec(), read_only: false }
    }
}

impl View {
    fn shows(&self, tool: &ToolDef) -> bool {
        registry::visible(&self.toolsets, self.read_only).any(|t| t.name == tool.name)
    }
}

/// The MCP server; over HTTP the caller and the view come with each request, over stdio they are fixed.
#[derive(Clone)]
pub struct Mcp {
    service: Arc<Service>,
    fixed: Option<(Caller, View)>,
}

impl Mcp {
    /// For HTTP: caller and view are taken from the extensions of each request.
    pub fn per_request(service: Arc<Service>) -> Mcp {
        Mcp { service, fixed: None }
    }

    /// For one caller.
    pub fn fixed(service: Arc<Service>, caller: Caller, view: View) -> Mcp {
        Mcp { service, fixed: Some((caller, view)) }
    }

    /// Who calls and what they see. A request that nobody authenticated may do nothing.
    fn who(&self, context: &RequestContext<RoleServer>) -> (Caller, View) {
        if let Some(fixed) = &self.fixed {
            return fixed.clone();
        }
        let parts = context.extensions.get::<::http::request::Parts>();
        let caller = parts.and_then(|p| p.extensions.get::<Caller>()).cloned();
        let view = parts.and_then(|p| p.extensions.get::<View>()).cloned();
        (caller.unwrap_or(Caller::anonymous(None)), view.unwrap_or_default())
    }

    /// Serves one client on standard input and output until it goes away.
    pub async fn stdio(self) -> anyhow::Result<()> {
        self.serve(rmcp::transport::stdio()).await?.waiting().await?;
        Ok(())
    }
}

impl ServerHandler for Mcp {
    fn get_info(&self) -> ServerConfig {
        let view = self.fixed.as_ref().map(|(_, view)| view.clone()).unwrap_or_default();
        let mut info = ServerConfig::new(ServerCapabilities::builder().enable_tools().build());
        info.server_info = Implementation::new("swf-testbed", env!("CARGO_PKG_VERSION"));
        info.instructions = Some(registry::instructions(&view.toolsets, view.read_only));
        info
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let (_, view) = self.who(&context);
        let tools = registry::visible(&view.toolsets, view.read_only).map(describe).collect();
        // One page: many clients read only the first.
        Ok(ListToolsResult::with_all_items(tools))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let (caller, view) = self.who(&context);
        let shown = registry::find(&request.name).filter(|tool| view.shows(tool));
        let Some(tool) = shown else {
            let names: Vec<&str> =
                registry::visible(&view.toolsets, view.read_only).map(|t| t.name).collect();
            let text =
                format!("unknown tool '{}'{}", request.name, swf_tools::args::choices(&request.name, &names));
            return Err(ErrorData::invalid_params(text, None));
        };
        let gate = Gate { service: self.service.clone(), caller, surface: Surface::Mcp };
        let arguments = request.arguments.map_or(Value::Null, Value::Object);
        let result = match gate.call(tool.name, arguments).await {
            Ok(answer) => success(answer)?,
            Err(error) => failure(error),
        };
        Ok(CallToolResponse::Complete(result))
    }
}

/// The same facts twice: compact text for models, structured content for programs.
fn success(answer: Value) -> Result<CallToolResult, ErrorData> {
    let text = serde_json::to_string(&answer).map_err(|e| ErrorData::internal_error(e.to_string(), None))?;
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = Some(if answer.is_object() { answer } else { json!({ "result": answer }) });
    Ok(result)
}

/// Errors are results, so that the model reads them. Faults of ours show an id that the log has too.
fn failure(error: Error) -> CallToolResult {
    let text = match &error {
        Error::Internal(cause) => {
            let id = uuid::Uuid::new_v4().simple().to_string();
            tracing::error!(error.id = %id, "internal error {id}: {cause:#}");
            format!("internal error {id}: not your fault; report this id, or try another tool")
        }
        other => other.to_string(),
    };
    CallToolResult::error(vec![ContentBlock::text(text)])
}

/// A registered tool as MCP describes it.
fn describe(tool: &'static ToolDef) -> Tool {
    let object = |schema: Value| match schema {
        Value::Object(map) => Arc::new(map),
        _ => Arc::default(),
    };
    let mut input = tool.input_schema();
    if let Some(map) = input.as_object_mut() {
        map.remove("description");
    }
    let output = tool.output_schema();
    let output = if output.get("type").is_some_and(|t| t == "object") {
        output
    } else {
        json!({"type": "object", "properties": {"result": output}, "required": ["result"]})
    };
    let mut described = Tool::new(tool.name, tool.description(), object(input));
    described.title = Some(tool.title.to_owned());
    described.output_schema = Some(object(output));
    let mut hints = ToolAnnotations::new().read_only(tool.hints.read_only);
    if !tool.hints.read_only {
        hints = hints.destructive(tool.hints.destructive).idempotent(tool.hints.idempotent);
    }
    described.annotations = Some(hints.open_world(false));
    described
}
