//! `swf_list_agents`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::Sql;

use super::STATUSES;
use crate::list::{List, Listing, Order, arguments, window};
use crate::liveness::AgentRow;
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// List agents, newest heartbeat first. Exited agents are left out unless asked for.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListAgents {
    /// Only this namespace.
    pub namespace: Option<String>,
    /// Only this kind, e.g. DATA, DAQ_Simulator, agent_manager.
    pub agent_type: Option<String>,
    /// OK, WARNING, ERROR, UNKNOWN, EXITED, or all.
    pub status: Option<String>,
    /// Only agents that sent a message of this execution.
    pub execution_id: Option<String>,
    /// Heartbeat at or after this time.
    pub start_time: Option<String>,
    /// Heartbeat at or before this time.
    pub end_time: Option<String>,
    /// Rows at most; 100 when left out.
    pub limit: Option<i64>,
    /// From `next` of the earlier answer.
    pub cursor: Option<String>,
}

/// An agent.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AgentItem {
    name: String,
    agent_type: String,
    status: String,
    operational_state: String,
    namespace: Option<String>,
    last_heartbeat: Option<Iso>,
    workflow_enabled: bool,
    total_stf_processed: i64,
    /// Heard within the limit, not exited, and its process exists as far as this host can tell.
    alive: bool,
}

impl Tool for ListAgents {
    const NAME: &'static str = "swf_list_agents";
    const TITLE: &'static str = "List agents";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"namespace": "torre1"}"#;
    type Output = List<AgentItem>;

    async fn run(self, cx: &Cx) -> Result<List<AgentItem>, Error> {
        let window = window(cx, self.start_time.as_deref(), self.end_time.as_deref(), None)?;
        let mut sql = Sql::new("");
        sql.filter("namespace = ?", self.namespace.as_deref());
        sql.filter("agent_type = ?", self.agent_type.as_deref());
        match self.status.as_deref().map(str::to_uppercase).as_deref() {
            None => {
                sql.and("status <> 'EXITED' AND operational_state <> 'EXITED'", []);
            }
            Some("ALL") => {}
            Some("EXITED") => {
                sql.and("(status = 'EXITED' OR operational_state = 'EXITED')", []);
            }
            Some(status) if STATUSES.contains(&status) => {
                sql.and("upper(status) = ?", [status.into()]);
            }
            Some(_) => return Err(unknown_status(self.status.as_deref().unwrap_or_default())),
        }
        sql.filter(
            "instance_name IN (SELECT sender_agent FROM swf_workflow_messages WHERE execution_id = ?)",
            self.execution_id.as_deref(),
        );
        sql.filter("last_heartbeat >= ?", window.start).filter("last_heartbeat <= ?", window.end);
        let shown = self.status.as_deref().filter(|s| !s.eq_ignore_ascii_case("all"));
        let link = cx.link(
            "Agents List",
            "/workflow/agents/",
            &[
                ("namespace", self.namespace.as_deref()),
                ("agent_type", self.agent_type.as_deref()),
                ("status", shown),
            ],
        );
        let listing = Listing {
            cx,
            input: arguments(&self),
            select: crate::liveness::COLUMNS.into(),
            from: "swf_systemagent".into(),
            conditions: sql,
            key: Order::descending("last_heartbeat"),
            tie: Order::descending("id"),
            maximum: 100,
            window,
            link,
        };
        listing.fetch_with(|row: AgentRow| item(cx, row)).await
    }
}

fn unknown_status(given: &str) -> Error {
    Error::invalid(
        "status",
        format!("'{given}' is not a status; accepted: OK, WARNING, ERROR, UNKNOWN, EXITED, all"),
    )
}

fn item(cx: &Cx, row: AgentRow) -> AgentItem {
    let alive = row.alive(cx);
    AgentItem {
        alive,
        name: row.instance_name,
        agent_type: row.agent_type,
        status: row.status,
        operational_state: row.operational_state,
        namespace: row.namespace,
        last_heartbeat: row.last_heartbeat.map(Iso),
        workflow_enabled: row.workflow_enabled,
        total_stf_processed: row.total_stf_processed,
    }
}
