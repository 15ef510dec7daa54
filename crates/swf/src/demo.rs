//! `swf demo`: the main job in front of the user, through a real MCP client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::{RoleClient, RunningService, ServiceExt};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};

use crate::run::{Caller, Progress, ensure_testbed, follow};
use crate::up::Up;

/// What the demo is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// STF files to make.
    pub stf_count: u32,
    /// One simulated second takes a second.
    pub realtime: bool,
    /// Print the summary as JSON only.
    pub json: bool,
}

/// A connected MCP client.
pub struct McpCaller {
    client: Arc<RunningService<RoleClient, ()>>,
}

impl McpCaller {
    /// Connects and initialises.
    pub async fn connect(url: &str, token: Option<&str>) -> anyhow::Result<McpCaller> {
        let mut config = StreamableHttpClientTransportConfig::with_uri(format!("{url}/mcp/"));
        if let Some(token) = token {
            config = config.auth_header(token);
        }
        let http = reqwest::Client::builder().no_proxy().build().context("make an HTTP client")?;
        let transport = StreamableHttpClientTransport::with_client(http, config);
        let client = ().serve(transport).await.context("connect as an MCP client")?;
        Ok(McpCaller { client: Arc::new(client) })
    }
}

impl Caller for McpCaller {
    async fn call(&self, tool: &'static str, arguments: Value) -> anyhow::Result<Value> {
        let mut request = CallToolRequestParams::new(tool);
        if let Value::Object(map) = arguments {
            request = request.with_arguments(map);
        }
        let result: CallToolResult =
            self.client.call_tool(request).await.with_context(|| format!("call {tool}"))?;
        let text =
            result.content.first().and_then(|c| c.as_text()).map(|t| t.text.clone()).unwrap_or_default();
        if result.is_error == Some(true) {
            bail!("{tool}: {text}");
        }
        result.structured_content.with_context(|| format!("{tool} answered without structured content"))
    }
}

/// What came of it.
struct Outcome {
    execution: String,
    progress: Progress,
    monitor: Value,
    error_logs: Vec<String>,
    seconds: f64,
}

/// Runs the demo against a started testbed; the error says what was not as it should be.
pub async fn run(up: &Up, options: &Options) -> anyhow::Result<()> {
    let started = Instant::now();
    let url = up.role.url()?;
    let user = up.role.user();
    let say = |text: String| {
        if !options.json {
            println!("{text}");
        }
    };
    say(format!("monitor   {url}/\nMCP       {url}/mcp/\ndata      {}", up.role.files.root().display()));
    let caller = McpCaller::connect(&url, up.role.files.token().as_deref()).await?;
    let state = caller.call("swf_get_system_state", json!({"username": user})).await?;
    say(format!(
        "state     manager {}, ready to run: {}",
        text(&state, "/agent_manager/status"),
        text(&state, "/ready_to_run")
    ));
    say("starting the testbed through the agent manager".into());
    ensure_testbed(&caller, &user, None).await?;
    let namespace = up.role.testbed()?.namespace;
    let agents = caller.call("swf_list_agents", json!({"namespace": namespace})).await?;
    for agent in agents.get("items").and_then(Value::as_array).into_iter().flatten() {
        say(format!("  {:<16} {}", text(agent, "/agent_type"), text(agent, "/name")));
    }
    let since = text(&state, "/timestamp");
    let begin = Instant::now();
    let request = json!({
        "workflow_name": "fast_processing",
        "namespace": namespace,
        "realtime": options.realtime,
        "stf_count": options.stf_count,
    });
    let execution = text(&caller.call("swf_start_workflow", request).await?, "/execution_id");
    say(format!("started   {execution}"));
    let bar = progress_bar(options);
    let (progress, monitor) = follow(&caller, &execution, true, |p| {
        bar.set_message(p.line());
        bar.tick();
        if bar.is_hidden() && !options.json {
            println!("  {}", p.line());
        }
    })
    .await?;
    bar.finish_and_clear();
    let logs = caller.call("swf_list_logs", json!({"level": "ERROR", "start_time": since})).await?;
    let error_logs = logs.get("items").and_then(Value::as_array).into_iter().flatten();
    let error_logs =
        error_logs.map(|l| format!("{}: {}", text(l, "/instance_name"), text(l, "/message"))).collect();
    let outcome =
        Outcome { execution, progress, monitor, error_logs, seconds: begin.elapsed().as_secs_f64() };
    let problems = problems(&outcome, options);
    print_summary(&outcome, options, &url, &problems, started.elapsed());
    if problems.is_empty() { Ok(()) } else { bail!("the demo failed: {}", problems.join("; ")) }
}

fn text(value: &Value, path: &str) -> String {
    match value.pointer(path) {
        Some(Value::String(s)) => s.clone(),
        Some(Value::Null) | None => "-".into(),
        Some(other) => other.to_string(),
    }
}

fn progress_bar(options: &Options) -> ProgressBar {
    let bar = if options.json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
        bar.set_style(style);
    }
    bar
}

/// Everything that must hold for exit code 0.
fn problems(outcome: &Outcome, options: &Options) -> Vec<String> {
    let p = &outcome.progress;
    let [_, _, completed, failed] = p.slices;
    let expected = i64::from(options.stf_count);
    let mut out = Vec::new();
    let mut demand = |holds: bool, text: String| {
        if !holds {
            out.push(text);
        }
    };
    let reason = p.reason.as_deref().map(|r| format!(" ({r})")).unwrap_or_default();
    demand(p.status == "completed", format!("the execution ended as {}{reason}", p.status));
    demand(p.closed, "a run has no end time".into());
    demand(p.stf.0 == expected, format!("{} of {expected} STF files were registered", p.stf.0));
    demand(p.stf.1 == p.stf.0, format!("{} of {} STF files were processed", p.stf.1, p.stf.0));
    demand(p.slice_total() > 0, "no TF slice was made".into());
    demand(
        completed == p.slice_total(),
        format!("{completed} of {} TF slices were completed, {failed} failed", p.slice_total()),
    );
    demand(p.errors == 0, format!("{} error(s) in the execution", p.errors));
    demand(outcome.error_logs.is_empty(), format!("ERROR logs: {}", outcome.error_logs.join(" | ")));
    out
}

fn links(outcome: &Outcome, url: &str) -> Vec<(&'static str, String)> {
    let run = &outcome.progress.run;
    let execution = swf_tools::links::encode(&outcome.execution);
    vec![
        ("execution", format!("{url}/workflow-executions/{execution}/")),
        ("run", format!("{url}/runs/{run}/")),
        ("STF files", format!("{url}/stf-files/?run_number={run}")),
        ("TF slices", format!("{url}/tf-slices/?run_number={run}")),
        ("messages", format!("{url}/workflow/messages/?execution_id={execution}")),
        ("logs", format!("{url}/logs/?execution_id={execution}")),
    ]
}

fn print_summary(outcome: &Outcome, options: &Options, url: &str, problems: &[String], total: Duration) {
    let p = &outcome.progress;
    let [queued, processing, completed, failed] = p.slices;
    if options.json {
        let links: serde_json::Map<String, Value> =
            links(outcome, url).into_iter().map(|(k, v)| (k.to_owned(), v.into())).collect();
        let summary = json!({
            "ok": problems.is_empty(),
            "problems": problems,
            "execution_id": outcome.execution,
            "run_id": p.run,
            "status": p.status,
            "stf_files": p.stf.0,
            "stf_processed": p.stf.1,
            "tf_files": p.tf,
            "slices": {"queued": queued, "processing": processing, "completed": completed, "failed": failed},
            "messages": p.messages,
            "workflow_seconds": outcome.seconds,
            "total_seconds": total.as_secs_f64(),
            "duration_seconds": outcome.monitor.get("duration_seconds"),
            "links": links,
        });
        println!("{summary}");
        return;
    }
    let rows = [
        ("execution", outcome.execution.clone()),
        ("status", p.status.clone()),
        ("run", p.run.clone()),
        ("STF files", format!("{} registered, {} processed", p.stf.0, p.stf.1)),
        ("TF files", p.tf.to_string()),
        ("TF slices", format!("{completed} completed, {failed} failed, {} open", queued + processing)),
        ("messages", p.messages.to_string()),
        ("errors", (p.errors + outcome.error_logs.len()).to_string()),
        ("time", format!("{:.1} s for the workflow, {:.1} s in all", outcome.seconds, total.as_secs_f64())),
    ];
    println!();
    for (name, value) in rows {
        println!("{name:<12}{value}");
    }
    for (name, link) in links(outcome, url) {
        println!("{name:<12}{link}");
    }
}
