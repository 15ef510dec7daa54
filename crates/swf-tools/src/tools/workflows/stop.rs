//! `swf_stop_workflow`

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::list::Link;
use crate::tool::Hints;
use crate::{Cx, Error, Scope, Tool, Toolset, liveness};

/// Ask the DAQ simulator to stop a running execution; it ends the run properly. Find ids with swf_list_workflow_executions(currently_running=true).
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct StopWorkflow {
    /// The running execution.
    pub execution_id: String,
}

/// What was done.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Stopping {
    success: bool,
    message: String,
    execution_id: String,
    namespace: Option<String>,
    /// True when the DAQ simulator confirmed; null when it is of a kind that never answers.
    confirmed: Option<bool>,
    note: String,
    monitor_urls: Vec<Link>,
}

impl Tool for StopWorkflow {
    const NAME: &'static str = "swf_stop_workflow";
    const TITLE: &'static str = "Stop a workflow";
    const SCOPE: Scope = Scope::Control;
    const TOOLSET: Toolset = Toolset::Control;
    const EXAMPLE: &'static str = r#"{"execution_id": "stf_datataking-torre-0001"}"#;
    const HINTS: Hints = Hints::END;
    type Output = Stopping;

    async fn run(self, cx: &Cx) -> Result<Stopping, Error> {
        let id = self.execution_id;
        let execution = super::execution(cx, &id).await?;
        if execution.status != "running" {
            return Err(Error::conflict(
                format!("execution '{id}' is not running but {}", execution.status),
                "",
            ));
        }
        let namespace = execution.namespace.clone().unwrap_or_default();
        let recorded = execution.performance_metrics.0.get("runner").and_then(Value::as_str);
        let agents = liveness::agents_of(cx, &namespace).await?;
        let live = agents.iter().filter(|a| a.is_runner() && a.alive(cx));
        let Some(runner) = live.into_iter().find(|a| recorded.is_none_or(|r| r == a.instance_name)) else {
            return Err(Error::conflict(
                format!(
                    "nobody can stop '{id}': its DAQ simulator ({}) is not alive",
                    recorded.unwrap_or("unknown")
                ),
                format!("mark it as ended with swf_end_execution(execution_id='{id}')"),
            ));
        };
        let mut body = Map::new();
        for (key, value) in [
            ("msg_type", "stop_workflow"),
            ("execution_id", &id),
            ("namespace", &namespace),
            ("timestamp", &crate::time::iso(cx.now)),
            ("source", "mcp"),
            ("requested_by", cx.caller.name()),
        ] {
            body.insert(key.into(), value.into());
        }
        let bus = super::super::bus(cx)?;
        let expires = cx.now + TimeDelta::seconds(60);
        let confirmed = match runner.said("control_queue").and_then(Value::as_str) {
            Some(queue) => {
                let answer = bus.ask(queue, body, expires, cx.settings().reply_timeout).await?;
                Some(confirmed(answer, &runner.instance_name)?)
            }
            None => {
                let expires = [("expires", expires.timestamp_millis().to_string())];
                bus.send("/queue/workflow_control", &expires, &body).await?;
                None
            }
        };
        Ok(Stopping {
            success: true,
            message: format!("Stop command for '{id}' sent to {}", runner.instance_name),
            namespace: execution.namespace,
            confirmed,
            note: "poll swf_get_workflow_monitor until status is terminated".into(),
            monitor_urls: vec![cx.link_to("Execution Detail", "/workflow-executions/", &id)],
            execution_id: id,
        })
    }
}

fn confirmed(answer: Option<Value>, runner: &str) -> Result<bool, Error> {
    let Some(answer) = answer else { return Ok(false) };
    if answer.get("accepted") == Some(&Value::Bool(true)) {
        return Ok(true);
    }
    let reason = answer.get("reason").and_then(Value::as_str).unwrap_or("no reason given");
    Err(Error::conflict(format!("{runner} refused: {reason}"), ""))
}
