//! What the server does by the clock: marks agents that fell silent, closes executions whose runner is gone,
//! forgets old sessions.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::{Value, json};
use swf_db::{Error, Json, Sql};
use swf_tools::Service;
use swf_tools::liveness::{AgentRow, COLUMNS, RUNNER_TYPES};
use tokio_util::sync::CancellationToken;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(15);
/// A runner that is gone may come back under its name and close its execution itself within this time.
const GRACE: TimeDelta = TimeDelta::seconds(60);

/// Time between two looks at PanDA's closed hours.
const CLOSED_HOURS: Duration = Duration::from_secs(60);

/// Keeps what is remembered of PanDA's closed hours fresh until `shutdown`.
pub async fn closed_hours(service: Arc<Service>, shutdown: CancellationToken) {
    let Some(panda) = &service.panda else { return };
    let mut rounds = tokio::time::interval(CLOSED_HOURS);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = rounds.tick() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            done = panda.renew_closed_hours() => {
                done.unwrap_or_else(|e| tracing::warn!("PanDA's closed hours could not be read: {e}"));
            }
        }
    }
}

/// Runs until `shutdown`.
pub async fn run(service: Arc<Service>, sessions: Arc<crate::mcp::Sessions>, shutdown: CancellationToken) {
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = rounds.tick() => {}
        }
        if let Err(e) = round(&service).await {
            tracing::warn!("upkeep could not run: {e}");
        }
        if let Err(e) = sessions.purge().await {
            tracing::debug!("old sessions could not be purged: {e}");
        }
    }
}

async fn round(service: &Service) -> Result<(), Error> {
    let silent = mark_silent(service).await?;
    if silent > 0 {
        tracing::info!(
            "marked {silent} agent(s) as EXITED: no heartbeat for {} s",
            service.settings.stale_after.as_secs()
        );
    }
    for id in lost_executions(service).await? {
        tracing::warn!("execution {id} closed as failed: its runner is gone");
    }
    Ok(())
}

/// Agents without a heartbeat within the limit become EXITED; what they said last stays in their metadata under
/// `before_exit`. swf itself works out who lives when it is asked; the columns are written because the clients
/// of the original read them as they are (`testbed status` lists agents whose `operational_state` is not
/// EXITED).
pub async fn mark_silent(service: &Service) -> Result<u64, Error> {
    let now = service.clock.now();
    let dialect = service.db.dialect();
    let last = dialect.json_object(&[
        ("marked_at", "?"),
        ("operational_state", "operational_state"),
        ("status", "status"),
    ]);
    let kept = dialect.json_merged("metadata", &dialect.json_object(&[("before_exit", &last)]));
    let sql = Sql::new(format!(
        "UPDATE swf_systemagent SET metadata = {kept}, status = 'EXITED', operational_state = 'EXITED', \
         updated_at ="
    ))
    .with(
        "? WHERE last_heartbeat < ? AND NOT (status = 'EXITED' AND operational_state = 'EXITED')",
        [swf_tools::time::iso(now).into(), now.into(), (now - service.settings.stale_after).into()],
    );
    service.db.execute(&sql).await
}

#[derive(Deserialize)]
struct Running {
    execution_id: String,
    namespace: Option<String>,
    performance_metrics: Json,
}

/// Closes running executions whose runner is gone for good; returns their ids.
pub async fn lost_executions(service: &Service) -> Result<Vec<String>, Error> {
    let now = service.clock.now();
    let sql = Sql::new(
        "SELECT execution_id, namespace, performance_metrics FROM swf_workflow_executions WHERE \
         status = 'running' AND start_time <",
    )
    .with("? ORDER BY start_time LIMIT 100", [(now - GRACE).into()]);
    let mut closed = Vec::new();
    for running in service.db.fetch_all::<Running>(&sql).await? {
        let named = running.performance_metrics.0.get("runner").and_then(Value::as_str);
        let reason = match named {
            Some(runner) => gone_runner(service, runner).await?,
            None => gone_unnamed(service, &running).await?,
        };
        let Some(reason) = reason else { continue };
        if close(service, &running, &reason).await? {
            closed.push(running.execution_id);
        }
    }
    Ok(closed)
}

/// Why the runner that an execution names counts as gone, if it does.
async fn gone_runner(service: &Service, runner: &str) -> Result<Option<String>, Error> {
    let agent = Sql::new(format!("SELECT {COLUMNS} FROM swf_systemagent WHERE instance_name ="))
        .with("?", [runner.into()]);
    let agent: Option<AgentRow> = service.db.fetch_optional(&agent).await?;
    Ok(gone(service, agent.as_ref()).then(|| format!("the runner {runner} was lost")))
}

/// The same for an execution that names none, as those of the Python testbed: its runner is who sent its
/// messages, else any runner of its namespace. Without a runner that ever said a word nothing is concluded.
async fn gone_unnamed(service: &Service, running: &Running) -> Result<Option<String>, Error> {
    let Some(limit) = service.settings.lost_after else { return Ok(None) };
    let since = service.clock.now() - limit;
    let id = running.execution_id.as_str();
    let recent = Sql::new("SELECT 1 FROM swf_workflow_executions WHERE execution_id = ?").with(
        "AND (start_time >= ? OR EXISTS (SELECT 1 FROM swf_workflow_messages WHERE execution_id = ? AND \
         sent_at >= ?))",
        [id.into(), since.into(), id.into(), since.into()],
    );
    if !service.db.rows(&recent).await?.is_empty() {
        return Ok(None);
    }
    let mut runners = runners_by(
        service,
        "instance_name IN (SELECT sender_agent FROM swf_workflow_messages WHERE execution_id = ?)",
        id,
    )
    .await?;
    if let (true, Some(namespace)) = (runners.is_empty(), &running.namespace) {
        runners = runners_by(service, "namespace = ?", namespace).await?;
    }
    let silent = |agent: &AgentRow| agent.last_heartbeat.is_none_or(|t| t < since);
    if runners.is_empty() || !runners.iter().all(silent) {
        return Ok(None);
    }
    let names: Vec<&str> = runners.iter().map(|r| r.instance_name.as_str()).collect();
    let minutes = limit.as_secs() / 60;
    Ok(Some(format!("no sign of life of it and of its runner ({}) for {minutes} minutes", names.join(", "))))
}

async fn runners_by(service: &Service, condition: &str, value: &str) -> Result<Vec<AgentRow>, Error> {
    let mut sql = Sql::new(format!("SELECT {COLUMNS} FROM swf_systemagent"));
    sql.and_in("lower(agent_type)", RUNNER_TYPES.iter().map(|t| (*t).into())).and(condition, [value.into()]);
    service.db.fetch_all(&sql).await
}

/// Not heard for the grace time, whether it said good-bye or not.
fn gone(service: &Service, agent: Option<&AgentRow>) -> bool {
    let now = service.clock.now();
    let Some(agent) = agent else { return true };
    let silent = agent.last_heartbeat.is_none_or(|t| t < now - GRACE);
    silent && (agent.exited() || !agent.alive_at(now, service.settings.stale_after))
}

/// Ends an execution and its run, in one transaction; false when somebody else ended it meanwhile.
async fn close(service: &Service, running: &Running, reason: &str) -> Result<bool, Error> {
    let now = service.clock.now();
    let mut metrics = running.performance_metrics.0.clone();
    if let Some(object) = metrics.as_object_mut() {
        object.insert("reason".into(), json!(reason));
    }
    let mut tx = service.db.begin().await?;
    let end = Sql::new("UPDATE swf_workflow_executions SET status = 'failed', end_time =").with(
        "?, performance_metrics = ? WHERE execution_id = ? AND status = 'running'",
        [now.into(), metrics.into(), running.execution_id.as_str().into()],
    );
    if tx.execute(&end).await? == 0 {
        return Ok(false);
    }
    let dialect = swf_db::Dialect(tx.engine());
    let of = dialect.json_text("metadata", "execution_id");
    let state = Sql::new(
        "UPDATE swf_run_state SET phase = 'completed', state = 'ended', substate = NULL, state_changed_at =",
    )
    .with(
        &format!("?, updated_at = ? WHERE phase <> 'completed' AND {of} = ? RETURNING run_number"),
        [now.into(), now.into(), running.execution_id.as_str().into()],
    );
    let runs: Vec<i64> = tx.fetch_all(&state).await?;
    for run in runs {
        let end = Sql::new("UPDATE swf_runs SET end_time =")
            .with("? WHERE run_number = ? AND end_time IS NULL", [now.into(), run.into()]);
        tx.execute(&end).await?;
    }
    tx.commit().await?;
    Ok(true)
}
