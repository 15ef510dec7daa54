//! `swf_get_testbed_status`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use swf_db::{Json, Sql};

use super::{how_to_start, workflow_agents};
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset, liveness, testbed_config};

/// A user's testbed at a glance: manager, agents, running workflows, and whether a workflow can be started now.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct GetTestbedStatus {
    /// Login name; the caller's own when left out.
    pub username: Option<String>,
}

/// State of a testbed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TestbedStatus {
    username: String,
    agent_manager: Manager,
    agents: Vec<Agent>,
    summary: Summary,
    running_workflows: i64,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Manager {
    alive: bool,
    namespace: Option<String>,
    operational_state: Option<String>,
    status: Option<String>,
    last_heartbeat: Option<Iso>,
    supervisord_healthy: Json,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Agent {
    name: String,
    r#type: String,
    status: &'static str,
    last_heartbeat: Option<Iso>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Summary {
    running: usize,
    stopped: usize,
}

impl Tool for GetTestbedStatus {
    const NAME: &'static str = "swf_get_testbed_status";
    const TITLE: &'static str = "Testbed status";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"username": "torre"}"#;
    type Output = TestbedStatus;

    async fn run(self, cx: &Cx) -> Result<TestbedStatus, Error> {
        let user = testbed_config::user_of(cx, self.username.as_deref())?;
        let row = liveness::manager(cx, &user).await?;
        let alive = row.as_ref().is_some_and(|m| m.alive(cx));
        let rows = match &row {
            Some(manager) => workflow_agents(cx, manager).await?,
            None => Vec::new(),
        };
        let agents: Vec<Agent> = rows
            .into_iter()
            .map(|a| Agent {
                status: if a.alive(cx) { "running" } else { "stopped" },
                name: a.instance_name,
                r#type: a.agent_type,
                last_heartbeat: a.last_heartbeat.map(Iso),
            })
            .collect();
        let running = agents.iter().filter(|a| a.status == "running").count();
        let namespace = row.as_ref().and_then(|m| m.namespace.clone());
        let running_workflows = running_in(cx, namespace.as_deref()).await?;
        let failing = row.as_ref().is_some_and(|m| m.status == "ERROR");
        let (note, error) = match () {
            () if !alive => (None, Some(format!("Agent manager is not running; {}", how_to_start(&user)))),
            () if failing => {
                let what = row.as_ref().map(|m| m.description.clone()).unwrap_or_default();
                (None, Some(format!("Agent manager reports an error: {what}")))
            }
            () if running == 0 => {
                (Some("No agent is running; start them with swf_start_user_testbed".to_owned()), None)
            }
            () if running_workflows > 0 => {
                (Some(format!("{running_workflows} workflow(s) currently running")), None)
            }
            () => (Some("Testbed is idle and ready to run a workflow".to_owned()), None),
        };
        let healthy = row.as_ref().and_then(|m| m.said("supervisord_healthy")).cloned();
        Ok(TestbedStatus {
            agent_manager: Manager {
                alive,
                namespace,
                operational_state: row.as_ref().map(|m| m.operational_state.clone()),
                status: row.as_ref().map(|m| m.status.clone()),
                last_heartbeat: row.and_then(|m| m.last_heartbeat).map(Iso),
                supervisord_healthy: Json(healthy.unwrap_or(Value::Null)),
            },
            summary: Summary { running, stopped: agents.len() - running },
            ready: alive && !failing && running > 0 && running_workflows == 0,
            agents,
            running_workflows,
            note,
            error,
            username: user,
        })
    }
}

async fn running_in(cx: &Cx, namespace: Option<&str>) -> Result<i64, Error> {
    let Some(namespace) = namespace else { return Ok(0) };
    let sql =
        Sql::new("SELECT count(*) FROM swf_workflow_executions WHERE status = 'running' AND namespace =")
            .with("?", [namespace.into()]);
    Ok(cx.db.fetch_one(&sql).await?)
}
