//! Whether an agent lives: one rule for all tools, worked out when asked, never stored.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use swf_db::{Json, Sql};

use crate::{Cx, Error};

/// What is known of an agent that liveness depends on.
#[derive(Debug, Clone, Deserialize)]
pub struct AgentRow {
    /// Name.
    pub instance_name: String,
    /// Kind, in the agent's own spelling.
    pub agent_type: String,
    /// OK, WARNING, ERROR, UNKNOWN or EXITED.
    pub status: String,
    /// STARTING, READY, PROCESSING or EXITED.
    pub operational_state: String,
    /// Namespace.
    pub namespace: Option<String>,
    /// Last heartbeat.
    pub last_heartbeat: Option<DateTime<Utc>>,
    /// Host it runs on.
    pub hostname: Option<String>,
    /// Process id on that host.
    pub pid: Option<i64>,
    /// The agent's own text.
    pub description: String,
    /// What the agent says of itself.
    pub metadata: Json,
    /// Takes part in workflows.
    pub workflow_enabled: bool,
    /// STF files in work.
    pub current_stf_count: i64,
    /// STF files done in its life.
    pub total_stf_processed: i64,
    /// When it last finished one.
    pub last_stf_processed: Option<DateTime<Utc>>,
}

/// Columns of [`AgentRow`].
pub const COLUMNS: &str = "instance_name, agent_type, status, operational_state, namespace, last_heartbeat, \
                           hostname, pid, description, metadata, workflow_enabled, current_stf_count, \
                           total_stf_processed, last_stf_processed";

/// Kinds that run workflows: they take start and stop commands.
pub const RUNNER_TYPES: [&str; 3] = ["daq_simulator", "workflow_runner", "daqsim"];

impl AgentRow {
    /// True when it said good-bye, in either field.
    pub fn exited(&self) -> bool {
        self.status == "EXITED" || self.operational_state == "EXITED"
    }

    /// True when it has not exited, was heard within the limit, and, on this host, its process exists.
    pub fn alive(&self, cx: &Cx) -> bool {
        self.alive_at(cx.now, cx.settings().stale_after)
    }

    /// The same rule at a given moment, with a given limit.
    pub fn alive_at(&self, now: DateTime<Utc>, limit: std::time::Duration) -> bool {
        let heard = self.last_heartbeat.is_some_and(|t| t >= now - limit);
        !self.exited() && heard && !self.process_gone()
    }

    /// True when it takes workflow commands.
    pub fn is_runner(&self) -> bool {
        RUNNER_TYPES.contains(&self.agent_type.to_lowercase().as_str())
    }

    /// A field of its metadata.
    pub fn said(&self, field: &str) -> Option<&serde_json::Value> {
        self.metadata.0.get(field)
    }

    /// True when the agent is of this host and no process has its id any more.
    fn process_gone(&self) -> bool {
        let local = self.hostname.as_deref().is_some_and(|h| h == local_host());
        let pid = self.pid.and_then(|p| i32::try_from(p).ok()).and_then(rustix::process::Pid::from_raw);
        match pid {
            Some(pid) if local => rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH),
            _ => false,
        }
    }
}

/// This machine's host name.
pub fn local_host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// One agent by name.
pub async fn agent(cx: &Cx, name: &str) -> Result<Option<AgentRow>, Error> {
    let sql = Sql::new(format!("SELECT {COLUMNS} FROM swf_systemagent WHERE instance_name ="))
        .with("?", [name.into()]);
    Ok(cx.db.fetch_optional(&sql).await?)
}

/// Agents of a namespace that have not exited, newest heartbeat first.
pub async fn agents_of(cx: &Cx, namespace: &str) -> Result<Vec<AgentRow>, Error> {
    let sql = Sql::new(format!("SELECT {COLUMNS} FROM swf_systemagent WHERE namespace ="))
        .with("? AND status <> 'EXITED' AND operational_state <> 'EXITED'", [namespace.into()])
        .with("ORDER BY last_heartbeat DESC NULLS LAST, instance_name LIMIT 500", []);
    Ok(cx.db.fetch_all(&sql).await?)
}

/// The agent manager of a user, if it ever registered.
pub async fn manager(cx: &Cx, user: &str) -> Result<Option<AgentRow>, Error> {
    agent(cx, &format!("agent-manager-{user}")).await
}
