//! The looks of `swf_triage`: each asks one source and says what is wrong there.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use swf_db::Sql;

use super::{Dark, Look, Problem, Severity};
use crate::list::Window;
use crate::liveness::{AgentRow, COLUMNS};
use crate::time::iso;
use crate::{Cx, Error};

type Found = Result<Vec<Problem>, Error>;

/// A slice that waits or is worked on for this long is stuck.
const SLICE_LIMIT: TimeDelta = TimeDelta::minutes(15);

/// A run in progress says something at least this often.
const QUIET_LIMIT: TimeDelta = TimeDelta::minutes(10);

/// What this installation has not got.
pub fn unconfigured(cx: &Cx) -> Vec<Dark> {
    let dark = |source| Dark { source, why: "not configured".into() };
    let service = cx.service();
    let broker = service.bus.is_none().then(|| dark("broker"));
    let panda = service.panda.is_none().then(|| dark("PanDA database"));
    broker.into_iter().chain(panda).collect()
}

/// Whether messages arrive and commands go out.
pub fn broker(cx: &Cx) -> Vec<Problem> {
    let Some(status) = cx.service().bus.as_ref().map(|bus| bus.status()) else { return Vec::new() };
    if status.connected {
        return Vec::new();
    }
    let what = "the message broker is not connected: no message arrives, nothing can be commanded";
    let since = DateTime::<Utc>::from(status.since);
    vec![Problem::new(Severity::Critical, 1, what).since(Some(since)).evidence(status.last_error)]
}

/// Agents that went silent or say that something is wrong.
pub async fn agents(look: &Look<'_>) -> Found {
    let mut sql = Sql::new(format!("SELECT {COLUMNS} FROM swf_systemagent"));
    sql.and("status <> 'EXITED' AND operational_state <> 'EXITED'", []);
    sql.filter("namespace = ?", look.namespace).filter("last_heartbeat >= ?", Some(look.since));
    sql.push("ORDER BY last_heartbeat, instance_name LIMIT 500", []);
    let rows: Vec<AgentRow> = look.cx.db.fetch_all(&sql).await?;
    let (alive, silent): (Vec<&AgentRow>, Vec<&AgentRow>) = rows.iter().partition(|a| a.alive(look.cx));
    let mut found = Vec::new();
    if let Some(first) = silent.first() {
        let lines = silent.iter().map(|a| {
            let heard = a.last_heartbeat.map(iso).unwrap_or_default();
            format!("{} ({}), last heard {heard}", a.instance_name, a.operational_state)
        });
        found.push(
            Problem::new(Severity::Error, count(&silent), "agents are silent without having said good-bye")
                .since(first.last_heartbeat)
                .evidence(lines)
                .next("swf_get_agent", &[("name", first.instance_name.as_str().into())]),
        );
    }
    for (status, severity) in [("ERROR", Severity::Error), ("WARNING", Severity::Warning)] {
        let bad: Vec<&&AgentRow> = alive.iter().filter(|a| a.status == status).collect();
        let Some(first) = bad.first() else { continue };
        let name = first.instance_name.as_str();
        found.push(
            Problem::new(severity, count(&bad), format!("agents report {status}"))
                .evidence(bad.iter().map(|a| format!("{}: {}", a.instance_name, a.description)))
                .next("swf_list_logs", &[("instance_name", name.into()), ("level", "WARNING".into())]),
        );
    }
    Ok(found)
}

#[derive(Deserialize)]
struct Running {
    execution_id: String,
    namespace: Option<String>,
    start_time: DateTime<Utc>,
    runner: Option<String>,
    newest: Option<DateTime<Utc>>,
}

impl Running {
    fn run_by(&self, runner: &AgentRow) -> bool {
        match self.runner.as_deref() {
            Some(name) => name == runner.instance_name,
            None => runner.namespace == self.namespace,
        }
    }

    fn last_sign(&self) -> DateTime<Utc> {
        self.newest.unwrap_or(self.start_time)
    }
}

/// Executions that are marked as running but that nobody runs, or that have gone quiet.
pub async fn executions(look: &Look<'_>) -> Found {
    let runner = look.cx.db.dialect().json_text("e.performance_metrics", "runner");
    let mut sql = Sql::new(format!(
        "SELECT e.execution_id, e.namespace, e.start_time, {runner} AS runner, \
         (SELECT max(m.sent_at) FROM swf_workflow_messages m WHERE m.execution_id = e.execution_id) AS newest \
         FROM swf_workflow_executions e"
    ));
    sql.and("e.status = 'running'", []).filter("e.namespace = ?", look.namespace);
    sql.push("ORDER BY e.start_time, e.execution_id LIMIT 200", []);
    let running: Vec<Running> = look.cx.db.fetch_all(&sql).await?;
    if running.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new(format!("SELECT {COLUMNS} FROM swf_systemagent"));
    sql.and("status <> 'EXITED' AND operational_state <> 'EXITED'", []);
    sql.filter("last_heartbeat >= ?", Some(look.cx.now - look.cx.settings().stale_after));
    let runners: Vec<AgentRow> = look.cx.db.fetch_all(&sql).await?;
    let live = |e: &&Running| runners.iter().any(|r| r.is_runner() && e.run_by(r) && r.alive(look.cx));
    let (run, lost): (Vec<&Running>, Vec<&Running>) = running.iter().partition(live);
    let quiet: Vec<&Running> =
        run.into_iter().filter(|e| e.last_sign() < look.cx.now - QUIET_LIMIT).collect();
    let line = |e: &Running| {
        let runner = e.runner.as_deref().unwrap_or("no DAQ simulator recorded");
        format!("{} ({runner}), last message {}", e.execution_id, iso(e.last_sign()))
    };
    let mut found = Vec::new();
    if let Some(first) = lost.first() {
        let what = "executions are marked as running, but the DAQ simulator that ran them is gone";
        found.push(
            Problem::new(Severity::Error, count(&lost), what)
                .since(Some(first.last_sign()))
                .evidence(lost.iter().map(|e| line(e)))
                .next("swf_end_execution", &[("execution_id", first.execution_id.as_str().into())]),
        );
    }
    if let Some(first) = quiet.first() {
        let what = "executions run, but no message of them was captured for a while";
        found.push(
            Problem::new(Severity::Warning, count(&quiet), what)
                .since(Some(first.last_sign()))
                .evidence(quiet.iter().map(|e| line(e)))
                .next("swf_get_workflow_monitor", &[("execution_id", first.execution_id.as_str().into())]),
        );
    }
    Ok(found)
}

/// Executions that failed.
pub async fn failed(look: &Look<'_>) -> Found {
    #[derive(Deserialize)]
    struct Row {
        execution_id: String,
        ended: DateTime<Utc>,
        reason: Option<String>,
        total: i64,
    }
    let reason = look.cx.db.dialect().json_text("performance_metrics", "reason");
    let mut sql = Sql::new(format!(
        "SELECT execution_id, coalesce(end_time, start_time) AS ended, {reason} AS reason, \
         count(*) OVER () AS total FROM swf_workflow_executions"
    ));
    sql.and("status = 'failed'", []).filter("namespace = ?", look.namespace);
    sql.filter("coalesce(end_time, start_time) >= ?", Some(look.since));
    sql.push("ORDER BY coalesce(end_time, start_time) DESC, execution_id LIMIT 3", []);
    let rows: Vec<Row> = look.cx.db.fetch_all(&sql).await?;
    let Some(newest) = rows.first() else { return Ok(Vec::new()) };
    let lines = rows.iter().map(|r| {
        let reason = r.reason.as_deref().unwrap_or("no reason given");
        format!("{}: {reason} ({})", r.execution_id, iso(r.ended))
    });
    let id = newest.execution_id.as_str();
    Ok(vec![
        Problem::new(Severity::Error, newest.total, "executions failed, the newest first")
            .since(rows.iter().map(|r| r.ended).min())
            .evidence(lines)
            .next("swf_get_workflow_monitor", &[("execution_id", id.into())]),
    ])
}

/// Patterns of errors shown.
const PATTERNS: usize = 3;

/// What the error logs say most.
pub async fn errors(look: &Look<'_>) -> Found {
    let window = Window { start: Some(look.since), end: Some(look.cx.now) };
    let (_, patterns) = super::super::errors::patterns(look.cx, window, look.namespace).await?;
    let problem = |p: super::super::errors::Pattern| {
        Problem::new(Severity::Error, p.count, "errors of one kind in the logs")
            .since(Some(p.first))
            .evidence([format!("{}: {}", p.instance, p.line)])
            .next("swf_get_log_entry", &[("log_id", p.log_id.into())])
    };
    Ok(patterns.into_iter().take(PATTERNS).map(problem).collect())
}

#[derive(Deserialize)]
struct Counted {
    status: String,
    total: i64,
    oldest: DateTime<Utc>,
    runs: i64,
    run_number: i64,
}

/// Files and slices that failed, and slices that wait for too long.
pub async fn files(look: &Look<'_>) -> Found {
    let columns = "count(*) AS total, min(%t) AS oldest, count(DISTINCT %r) AS runs, max(%r) AS run_number";
    let columns = |time: &str, run: &str| columns.replace("%t", time).replace("%r", run);
    let mut files = Sql::new(format!(
        "SELECT f.status, {} FROM swf_stf_files f JOIN swf_runs r ON r.run_id = f.run_id",
        columns("f.created_at", "r.run_number")
    ));
    files.and("f.status = 'failed'", []).filter("f.created_at >= ?", Some(look.since));
    super::super::runs_of(look.cx, &mut files, "r.run_number", look.namespace);
    files.push("GROUP BY f.status", []);
    let mut slices =
        Sql::new(format!("SELECT status, {} FROM swf_tf_slices", columns("created_at", "run_number")));
    slices.and("status IN ('failed', 'queued', 'processing')", []);
    slices.and("(status = 'failed' OR created_at < ?)", [(look.cx.now - SLICE_LIMIT).into()]);
    slices.filter("created_at >= ?", Some(look.since));
    super::super::runs_of(look.cx, &mut slices, "run_number", look.namespace);
    slices.push("GROUP BY status ORDER BY status", []);
    let db = &look.cx.db;
    let (files, slices) =
        tokio::try_join!(db.fetch_all::<Counted>(&files), db.fetch_all::<Counted>(&slices))?;
    let mut found: Vec<Problem> =
        files.into_iter().map(|c| counted(c, "STF files failed", "swf_list_stf_files")).collect();
    found.extend(slices.into_iter().map(|c| {
        let what = match c.status.as_str() {
            "failed" => "TF slices failed",
            "queued" => "TF slices wait for a worker for more than 15 minutes",
            _ => "TF slices are in work for more than 15 minutes",
        };
        counted(c, what, "swf_list_tf_slices")
    }));
    Ok(found)
}

fn counted(c: Counted, what: &str, tool: &'static str) -> Problem {
    let severity = if c.status == "failed" { Severity::Error } else { Severity::Warning };
    Problem::new(severity, c.total, what)
        .since(Some(c.oldest))
        .evidence([format!("runs: {}, the newest: {}", c.runs, c.run_number)])
        .next(tool, &[("run_number", c.run_number.into()), ("status", c.status.into())])
}

/// Messages that could not be stored or understood.
pub async fn letters(look: &Look<'_>) -> Found {
    #[derive(Deserialize)]
    struct Row {
        received_at: DateTime<Utc>,
        destination: String,
        reason: String,
        total: i64,
    }
    let mut sql = Sql::new(
        "SELECT received_at, destination, substr(reason, 1, 100) AS reason, count(*) OVER () AS total \
         FROM swfx_dead_letter",
    );
    sql.filter("received_at >= ?", Some(look.since)).push("ORDER BY received_at DESC, id DESC LIMIT 3", []);
    let rows: Vec<Row> = look.cx.db.fetch_all(&sql).await?;
    let Some(newest) = rows.first() else { return Ok(Vec::new()) };
    Ok(vec![
        Problem::new(Severity::Warning, newest.total, "messages could not be stored and were set aside")
            .since(rows.iter().map(|r| r.received_at).min())
            .evidence(rows.iter().map(|r| format!("{}: {}", r.destination, r.reason))),
    ])
}

/// Whether the PanDA database answers.
pub async fn panda(look: &Look<'_>) -> Found {
    if let Some(panda) = &look.cx.service().panda {
        let one: i64 = panda.db().fetch_one(&Sql::new("SELECT 1")).await?;
        tracing::trace!(one, "the PanDA database answers");
    }
    Ok(Vec::new())
}

fn count<T>(rows: &[T]) -> i64 {
    i64::try_from(rows.len()).unwrap_or(i64::MAX)
}
