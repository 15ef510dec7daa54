//! `swf_check_agent_manager`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use swf_db::Json;

use super::{control_queue, how_to_start};
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset, liveness, testbed_config};

/// Whether a user's agent manager is alive, and what it says of its agents.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct CheckAgentManager {
    /// Login name; the caller's own when left out.
    pub username: Option<String>,
}

/// State of an agent manager.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ManagerState {
    alive: bool,
    username: String,
    instance_name: String,
    namespace: Option<String>,
    last_heartbeat: Option<Iso>,
    operational_state: Option<String>,
    status: Option<String>,
    description: Option<String>,
    control_queue: String,
    /// As the manager said; false when it said nothing.
    agents_running: Json,
    supervisord_healthy: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    how_to_start: Option<String>,
}

impl Tool for CheckAgentManager {
    const NAME: &'static str = "swf_check_agent_manager";
    const TITLE: &'static str = "Check agent manager";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"username": "torre"}"#;
    type Output = ManagerState;

    async fn run(self, cx: &Cx) -> Result<ManagerState, Error> {
        let user = testbed_config::user_of(cx, self.username.as_deref())?;
        let row = liveness::manager(cx, &user).await?;
        let alive = row.as_ref().is_some_and(|m| m.alive(cx));
        let said = |field: &str| row.as_ref().and_then(|m| m.said(field)).cloned();
        Ok(ManagerState {
            alive,
            instance_name: format!("agent-manager-{user}"),
            control_queue: control_queue(&user),
            agents_running: Json(said("agents_running").unwrap_or(Value::Bool(false))),
            supervisord_healthy: Json(said("supervisord_healthy").unwrap_or(Value::Null)),
            how_to_start: (!alive).then(|| how_to_start(&user)),
            namespace: row.as_ref().and_then(|m| m.namespace.clone()),
            last_heartbeat: row.as_ref().and_then(|m| m.last_heartbeat).map(Iso),
            operational_state: row.as_ref().map(|m| m.operational_state.clone()),
            status: row.as_ref().map(|m| m.status.clone()),
            description: row.map(|m| m.description),
            username: user,
        })
    }
}
