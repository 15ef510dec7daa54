//! `swf call`, `swf tools`, `swf status`: the tools from the command line, over the running server.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};
use swf_tools::registry;

use crate::roles::Role;

/// Starting a testbed is the slowest call.
const WAIT: Duration = Duration::from_secs(40);

/// Arguments given as `name=value`, or one JSON object.
pub fn arguments(words: &[String]) -> anyhow::Result<Value> {
    if let [one] = words
        && one.trim_start().starts_with('{')
    {
        return serde_json::from_str(one).context("the argument object is not valid JSON");
    }
    let mut map = Map::new();
    for word in words {
        let Some((name, value)) = word.split_once('=') else {
            bail!("{word:?} is not an argument; write name=value, for example namespace=torre1");
        };
        map.insert(name.to_owned(), value.into());
    }
    Ok(Value::Object(map))
}

/// Calls a tool on the running server.
pub async fn call(role: &Role, name: &str, arguments: Value) -> anyhow::Result<Value> {
    // A person waits: one try.
    let config = swf_client::ClientConfig { patience: Duration::ZERO, timeout: WAIT, ..role.monitor()? };
    let client = swf_client::Client::new(&config)?;
    client.call_tool(name, arguments).await.map_err(|e| match (problem(&e), role.files.running()) {
        (Some(detail), _) => anyhow::anyhow!("{name}: {detail}"),
        (None, Some(_)) => anyhow::anyhow!("{e}"),
        (None, None) => {
            anyhow::anyhow!("{e}; nothing runs from {}, start it with `swf up`", role.files.root().display())
        }
    })
}

/// The sentence of a refusal, without the frame it came in.
fn problem(error: &swf_client::Error) -> Option<String> {
    let swf_client::Error::Status { words, .. } = error else { return None };
    let problem: Value = serde_json::from_str(words).ok()?;
    Some(problem.get("detail")?.as_str()?.to_owned())
}

/// The registered tools for people.
pub fn list(json_output: bool) -> String {
    let lines: Vec<Value> = registry::all()
        .map(|t| {
            json!({"name": t.name, "description": registry::first_sentence(&t.description()), "arguments": registry::parameters(t), "example": t.example})
        })
        .collect();
    if json_output {
        return Value::Array(lines).to_string();
    }
    let width = registry::names().iter().map(|n| n.len()).max().unwrap_or(0);
    registry::all()
        .map(|t| format!("{:width$}  {}\n", t.name, registry::first_sentence(&t.description())))
        .collect()
}

/// State of the testbed in a few lines.
pub async fn status(role: &Role) -> anyhow::Result<String> {
    let user = role.user();
    let state = call(role, "swf_get_system_state", json!({"username": user})).await?;
    let testbed = call(role, "swf_get_testbed_status", json!({"username": user})).await?;
    let running = call(role, "swf_list_workflow_executions", json!({"currently_running": true})).await?;
    let text = |v: &Value, path: &str| match v.pointer(path) {
        Some(Value::String(s)) => s.clone(),
        Some(Value::Null) | None => "-".into(),
        Some(other) => other.to_string(),
    };
    let mut out = format!(
        "user            {user}\nnamespace       {}\nagent manager   {}\nDAQ simulator   {} {}\nready to run    {}\nerrors (1 h)    {}\n",
        text(&state, "/user_context/namespace"),
        text(&state, "/agent_manager/status"),
        text(&state, "/workflow_runner/status"),
        text(&state, "/workflow_runner/name"),
        text(&state, "/ready_to_run"),
        text(&state, "/errors_last_hour"),
    );
    out.push_str("agents\n");
    for agent in testbed.get("agents").and_then(Value::as_array).into_iter().flatten() {
        out.push_str(&format!(
            "  {:8} {:16} {}\n",
            text(agent, "/status"),
            text(agent, "/type"),
            text(agent, "/name")
        ));
    }
    out.push_str("running workflows\n");
    for execution in running.get("items").and_then(Value::as_array).into_iter().flatten() {
        out.push_str(&format!(
            "  {}  {}  since {}\n",
            text(execution, "/execution_id"),
            text(execution, "/namespace"),
            text(execution, "/start_time")
        ));
    }
    Ok(out)
}
