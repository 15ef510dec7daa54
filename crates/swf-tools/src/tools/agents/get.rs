//! `swf_get_agent`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::Json;

use crate::list::Link;
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// Everything known of one agent, with its metadata and process.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetAgent {
    /// Instance name, as swf_list_agents gives it.
    pub name: String,
}

/// An agent in full.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AgentDetail {
    name: String,
    agent_type: String,
    status: String,
    namespace: Option<String>,
    last_heartbeat: Option<Iso>,
    description: String,
    workflow_enabled: bool,
    current_stf_count: i64,
    total_stf_processed: i64,
    last_stf_processed: Option<Iso>,
    metadata: Json,
    operational_state: String,
    pid: Option<i64>,
    hostname: Option<String>,
    alive: bool,
    monitor_urls: Vec<Link>,
}

impl Tool for GetAgent {
    const NAME: &'static str = "swf_get_agent";
    const TITLE: &'static str = "Agent detail";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"name": "data-agent-torre-1"}"#;
    type Output = AgentDetail;

    async fn run(self, cx: &Cx) -> Result<AgentDetail, Error> {
        let Some(agent) = crate::liveness::agent(cx, &self.name).await? else {
            return Err(Error::not_found(
                "Agent",
                &self.name,
                "swf_list_agents(status='all') lists the names",
            ));
        };
        let alive = agent.alive(cx);
        let link = cx.link_to("Agent Detail", "/workflow/agents/", &self.name);
        Ok(AgentDetail {
            name: agent.instance_name,
            agent_type: agent.agent_type,
            status: agent.status,
            namespace: agent.namespace,
            last_heartbeat: agent.last_heartbeat.map(Iso),
            description: agent.description,
            workflow_enabled: agent.workflow_enabled,
            current_stf_count: agent.current_stf_count,
            total_stf_processed: agent.total_stf_processed,
            last_stf_processed: agent.last_stf_processed.map(Iso),
            metadata: agent.metadata,
            operational_state: agent.operational_state,
            pid: agent.pid,
            hostname: agent.hostname,
            alive,
            monitor_urls: vec![link],
        })
    }
}
