//! `swf_get_system_state`

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::{Json, Sql};

use crate::liveness::AgentRow;
use crate::testbed_config::TestbedConfig;
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset, liveness, testbed_config};

/// State of the testbed for a user: configuration, agent manager, DAQ simulator, whether a workflow can start now, agents, executions, errors, run states.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct GetSystemState {
    /// Login name; the caller's own when left out.
    pub username: Option<String>,
}

/// The state of the whole.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SystemState {
    timestamp: Iso,
    user_context: UserContext,
    agent_manager: Daemon,
    workflow_runner: Runner,
    ready_to_run: bool,
    last_execution: Option<LastExecution>,
    errors_last_hour: i64,
    agents: AgentCounts,
    executions: ExecutionCounts,
    messages_last_10min: i64,
    run_states: Vec<RunState>,
    persistent_state: Json,
    recent_events: Vec<StateEvent>,
    sources: crate::sources::Sources,
}

#[derive(Debug, Serialize, JsonSchema)]
struct UserContext {
    username: String,
    namespace: Option<String>,
    workflow_name: Option<String>,
    config: Option<String>,
    config_file: Option<String>,
    config_source: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Daemon {
    /// healthy, unhealthy, exited or missing.
    status: &'static str,
    last_heartbeat: Option<Iso>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Runner {
    /// healthy, unhealthy or missing.
    status: &'static str,
    name: Option<String>,
    last_heartbeat: Option<Iso>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct LastExecution {
    execution_id: String,
    status: String,
    start_time: Iso,
    end_time: Option<Iso>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AgentCounts {
    total: i64,
    active: i64,
    exited: i64,
    healthy: i64,
    unhealthy: i64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct ExecutionCounts {
    running: i64,
    completed_last_hour: i64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct RunState {
    run_number: i64,
    phase: String,
    state: String,
    substate: Option<String>,
    active_workers: i64,
    target_workers: i64,
    slices_queued: i64,
    slices_processing: i64,
    slices_completed: i64,
    slices_failed: i64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct StateEvent {
    timestamp: Iso,
    run_number: i64,
    event_type: String,
    state: String,
}

impl Tool for GetSystemState {
    const NAME: &'static str = "swf_get_system_state";
    const TITLE: &'static str = "System state";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"username": "torre"}"#;
    type Output = SystemState;

    async fn run(self, cx: &Cx) -> Result<SystemState, Error> {
        let user = testbed_config::user_of(cx, self.username.as_deref())?;
        let config = testbed_config::read(cx, &user).await?;
        let manager = liveness::manager(cx, &user).await?;
        let namespace =
            config.namespace.clone().or_else(|| manager.as_ref().and_then(|m| m.namespace.clone()));
        let runners = match &namespace {
            Some(namespace) => liveness::agents_of(cx, namespace).await?,
            None => Vec::new(),
        };
        let runner = runner(cx, runners);
        let persistent: Option<Json> = cx
            .db
            .fetch_optional(&Sql::new("SELECT state_data FROM swf_persistent_state WHERE id = 1"))
            .await?;
        Ok(SystemState {
            timestamp: Iso(cx.now),
            user_context: context(user, namespace.clone(), config),
            agent_manager: daemon(cx, manager.as_ref()),
            ready_to_run: runner.status == "healthy",
            workflow_runner: runner,
            last_execution: last_execution(cx, namespace.as_deref()).await?,
            errors_last_hour: errors(cx, namespace.as_deref()).await?,
            agents: agent_counts(cx).await?,
            executions: execution_counts(cx).await?,
            messages_last_10min: messages(cx).await?,
            run_states: run_states(cx).await?,
            persistent_state: persistent.unwrap_or(Json(serde_json::json!({}))),
            recent_events: events(cx).await?,
            sources: crate::sources::sources(cx).await,
        })
    }
}

fn context(username: String, namespace: Option<String>, config: TestbedConfig) -> UserContext {
    UserContext {
        username,
        namespace,
        workflow_name: config.workflow,
        config: config.config,
        config_file: config.file,
        config_source: config.source,
    }
}

fn daemon(cx: &Cx, manager: Option<&AgentRow>) -> Daemon {
    let status = match manager {
        None => "missing",
        Some(m) if m.exited() => "exited",
        Some(m) if m.alive(cx) => "healthy",
        Some(_) => "unhealthy",
    };
    Daemon { status, last_heartbeat: manager.and_then(|m| m.last_heartbeat).map(Iso) }
}

fn runner(cx: &Cx, agents: Vec<AgentRow>) -> Runner {
    let mut runners: Vec<AgentRow> = agents.into_iter().filter(AgentRow::is_runner).collect();
    let best = runners.iter().position(|a| a.alive(cx)).unwrap_or(0);
    if runners.is_empty() {
        return Runner { status: "missing", name: None, last_heartbeat: None };
    }
    let row = runners.swap_remove(best);
    Runner {
        status: if row.alive(cx) { "healthy" } else { "unhealthy" },
        last_heartbeat: row.last_heartbeat.map(Iso),
        name: Some(row.instance_name),
    }
}

async fn last_execution(cx: &Cx, namespace: Option<&str>) -> Result<Option<LastExecution>, Error> {
    let mut sql = Sql::new("SELECT execution_id, status, start_time, end_time FROM swf_workflow_executions");
    sql.filter("namespace = ?", namespace).push("ORDER BY start_time DESC, execution_id DESC LIMIT 1", []);
    Ok(cx.db.fetch_optional(&sql).await?)
}

async fn errors(cx: &Cx, namespace: Option<&str>) -> Result<i64, Error> {
    let mut sql = Sql::new("SELECT count(*) FROM swf_applog");
    sql.and("level >= 40", []).filter("timestamp >= ?", Some(cx.now - TimeDelta::hours(1)));
    super::logs_of(cx, &mut sql, namespace);
    Ok(cx.db.fetch_one(&sql).await?)
}

async fn agent_counts(cx: &Cx) -> Result<AgentCounts, Error> {
    #[derive(Deserialize)]
    struct Row {
        total: i64,
        exited: i64,
        healthy: i64,
    }
    let fresh = cx.now - cx.settings().stale_after;
    let sql = Sql::new(
        "SELECT count(*) AS total, \
         count(*) FILTER (WHERE status = 'EXITED' OR operational_state = 'EXITED') AS exited, \
         count(*) FILTER (WHERE status = 'OK' AND operational_state <> 'EXITED' AND last_heartbeat >=",
    )
    .with("?) AS healthy FROM swf_systemagent", [fresh.into()]);
    let row: Row = cx.db.fetch_one(&sql).await?;
    let active = row.total - row.exited;
    Ok(AgentCounts {
        total: row.total,
        active,
        exited: row.exited,
        healthy: row.healthy,
        unhealthy: active - row.healthy,
    })
}

async fn execution_counts(cx: &Cx) -> Result<ExecutionCounts, Error> {
    let hour: DateTime<Utc> = cx.now - TimeDelta::hours(1);
    let sql = Sql::new(
        "SELECT count(*) FILTER (WHERE status = 'running') AS running, \
         count(*) FILTER (WHERE status = 'completed' AND end_time >=",
    )
    .with("?) AS completed_last_hour FROM swf_workflow_executions", [hour.into()]);
    Ok(cx.db.fetch_one(&sql).await?)
}

async fn messages(cx: &Cx) -> Result<i64, Error> {
    let sql = Sql::new("SELECT count(*) FROM swf_workflow_messages WHERE sent_at >=")
        .with("?", [(cx.now - TimeDelta::minutes(10)).into()]);
    Ok(cx.db.fetch_one(&sql).await?)
}

async fn run_states(cx: &Cx) -> Result<Vec<RunState>, Error> {
    let sql = Sql::new(
        "SELECT run_number, phase, state, substate, active_worker_count AS active_workers, \
         target_worker_count AS target_workers, slices_queued, slices_processing, slices_completed, \
         slices_failed FROM swf_run_state ORDER BY run_number DESC LIMIT 5",
    );
    Ok(cx.db.fetch_all(&sql).await?)
}

async fn events(cx: &Cx) -> Result<Vec<StateEvent>, Error> {
    let sql = Sql::new(
        "SELECT timestamp, run_number, event_type, state FROM swf_system_state_events \
         ORDER BY timestamp DESC, event_id DESC LIMIT 10",
    );
    Ok(cx.db.fetch_all(&sql).await?)
}
