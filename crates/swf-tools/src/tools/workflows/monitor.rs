//! `swf_get_workflow_monitor`

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::Sql;

use super::ExecutionRow;
use crate::list::Link;
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// Progress of one workflow execution in a single call: status, phase, key events, file and slice counts, errors.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetWorkflowMonitor {
    /// As swf_start_workflow or swf_list_workflow_executions gives it.
    pub execution_id: String,
}

/// State of an execution.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WorkflowMonitor {
    execution_id: String,
    status: String,
    /// unknown, imminent, running, paused or ended.
    phase: String,
    run_id: Option<String>,
    stf_count: i64,
    events: Vec<Event>,
    errors: Vec<Problem>,
    start_time: Iso,
    end_time: Option<Iso>,
    duration_seconds: Option<f64>,
    /// Why it ended, when that was not the ordinary end.
    reason: Option<String>,
    /// Counts over the runs of this execution.
    progress: Progress,
    monitor_urls: Vec<Link>,
}

/// A key event.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Event {
    r#type: String,
    time: Iso,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<Option<String>>,
}

/// A fault that was reported.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Problem {
    time: Iso,
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'static str>,
}

/// Counts over the runs of an execution.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    messages: i64,
    stf_registered: i64,
    stf_processed: i64,
    stf_failed: i64,
    tf_files: i64,
    slices_queued: i64,
    slices_processing: i64,
    slices_completed: i64,
    slices_failed: i64,
    /// True when every run of this execution has its end time.
    runs_closed: bool,
}

#[derive(Deserialize)]
struct KeyMessage {
    message_type: String,
    sent_at: Iso,
    run_id: Option<String>,
    message_content: swf_db::Json,
}

impl Tool for GetWorkflowMonitor {
    const NAME: &'static str = "swf_get_workflow_monitor";
    const TITLE: &'static str = "Workflow monitor";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"execution_id": "stf_datataking-torre-0001"}"#;
    type Output = WorkflowMonitor;

    async fn run(self, cx: &Cx) -> Result<WorkflowMonitor, Error> {
        let execution = super::execution(cx, &self.execution_id).await?;
        let key = key_messages(cx, &self.execution_id).await?;
        let (messages, runs) = runs_of(cx, &execution).await?;
        let mut progress = counts(cx, &runs).await?;
        progress.messages = messages;
        let mut errors: Vec<Problem> = key.iter().filter_map(reported).collect();
        errors.extend(logged(cx, &execution).await?);
        let ended = execution.end_time;
        let reason = execution.performance_metrics.0.get("reason").and_then(|r| r.as_str());
        Ok(WorkflowMonitor {
            phase: phase(&key, &execution.status).to_owned(),
            run_id: key
                .iter()
                .rev()
                .find_map(|m| m.run_id.clone())
                .or_else(|| runs.last().map(i64::to_string)),
            stf_count: progress.stf_registered + progress.stf_processed + progress.stf_failed,
            events: key.iter().filter(|m| lifecycle(&m.message_type)).map(event).collect(),
            errors,
            start_time: Iso(execution.start_time),
            end_time: ended.map(Iso),
            duration_seconds: ended.map(|e| seconds(e - execution.start_time)),
            reason: reason.map(str::to_owned),
            progress,
            monitor_urls: vec![cx.link_to("Execution Detail", "/workflow-executions/", &self.execution_id)],
            execution_id: execution.execution_id,
            status: execution.status,
        })
    }
}

/// Seconds with fraction.
pub fn seconds(d: TimeDelta) -> f64 {
    d.num_microseconds().map_or(d.num_seconds() as f64, |us| us as f64 / 1e6)
}

fn lifecycle(kind: &str) -> bool {
    matches!(kind, "run_imminent" | "start_run" | "pause_run" | "resume_run" | "end_run")
}

fn event(message: &KeyMessage) -> Event {
    let run = (message.message_type == "run_imminent").then(|| message.run_id.clone());
    Event { r#type: message.message_type.clone(), time: message.sent_at, run_id: run }
}

fn reported(message: &KeyMessage) -> Option<Problem> {
    if lifecycle(&message.message_type) {
        return None;
    }
    let content = &message.message_content.0;
    let text = ["error", "error_message", "reason", "message"].iter().find_map(|k| content.get(*k));
    let error = match text {
        Some(serde_json::Value::String(s)) => s.clone(),
        _ => content.to_string(),
    };
    Some(Problem { time: message.sent_at, error, source: None })
}

fn phase(key: &[KeyMessage], status: &str) -> &'static str {
    if status != "running" && status != "pending" {
        return "ended";
    }
    match key.iter().rev().find(|m| lifecycle(&m.message_type)).map(|m| m.message_type.as_str()) {
        Some("run_imminent") => "imminent",
        Some("start_run" | "resume_run") => "running",
        Some("pause_run") => "paused",
        Some("end_run") => "ended",
        _ => "unknown",
    }
}

async fn key_messages(cx: &Cx, id: &str) -> Result<Vec<KeyMessage>, Error> {
    let sql = Sql::new(
        "SELECT message_type, sent_at, run_id, message_content FROM swf_workflow_messages WHERE message_type IN \
         ('run_imminent', 'start_run', 'pause_run', 'resume_run', 'end_run', 'run_workflow_failed', 'error')",
    )
    .with("AND execution_id = ? ORDER BY sent_at, message_id LIMIT 200", [id.into()]);
    Ok(cx.db.fetch_all(&sql).await?)
}

/// Messages of an execution, and the run numbers named in them or recorded by the runner.
pub(super) async fn runs_of(cx: &Cx, execution: &ExecutionRow) -> Result<(i64, Vec<i64>), Error> {
    let sql = Sql::new("SELECT run_id, count(*) FROM swf_workflow_messages WHERE execution_id =")
        .with("? GROUP BY run_id ORDER BY run_id", [execution.execution_id.as_str().into()]);
    let rows: Vec<(Option<String>, i64)> = cx.db.fetch_all(&sql).await?;
    let total = rows.iter().map(|(_, n)| n).sum();
    let mut runs: Vec<i64> = rows.iter().filter_map(|(run, _)| run.as_deref()?.parse().ok()).collect();
    let recorded = execution.performance_metrics.0.get("run_number").and_then(serde_json::Value::as_i64);
    runs.extend(recorded);
    runs.sort_unstable();
    runs.dedup();
    Ok((total, runs))
}

async fn counts(cx: &Cx, runs: &[i64]) -> Result<Progress, Error> {
    if runs.is_empty() {
        return Ok(Progress::default());
    }
    let numbers = || runs.iter().map(|r| (*r).into());
    let mut files = Sql::new(
        "SELECT count(*) FILTER (WHERE f.status IN ('registered', 'processing')) AS stf_registered, \
         count(*) FILTER (WHERE f.status IN ('processed', 'done')) AS stf_processed, \
         count(*) FILTER (WHERE f.status = 'failed') AS stf_failed, \
         (SELECT count(*) FROM swf_fastmon_files t JOIN swf_stf_files s ON s.file_id = t.stf_file_id \
          JOIN swf_runs x ON x.run_id = s.run_id",
    );
    files.and_in("x.run_number", numbers());
    let mut files = files.with(
        ") AS tf_files FROM swf_stf_files f JOIN swf_runs r ON r.run_id = f.run_id WHERE 1 = 1 AND",
        [],
    );
    in_list(&mut files, "r.run_number", runs);
    let mut slices = Sql::new("SELECT status, count(*) FROM swf_tf_slices");
    slices.and_in("run_number", numbers()).push("GROUP BY status", []);
    let mut open = Sql::new("SELECT count(*) FROM swf_runs WHERE end_time IS NULL AND");
    in_list(&mut open, "run_number", runs);
    let (files, slices, open) = tokio::try_join!(
        cx.db.fetch_one::<FileCounts>(&files),
        cx.db.fetch_all::<(String, i64)>(&slices),
        cx.db.fetch_one::<i64>(&open)
    )?;
    let of = |status: &str| slices.iter().filter(|(s, _)| s == status).map(|(_, n)| n).sum();
    Ok(Progress {
        messages: 0,
        stf_registered: files.stf_registered,
        stf_processed: files.stf_processed,
        stf_failed: files.stf_failed,
        tf_files: files.tf_files,
        slices_queued: of("queued"),
        slices_processing: of("processing"),
        slices_completed: of("completed"),
        slices_failed: of("failed"),
        runs_closed: open == 0,
    })
}

#[derive(Deserialize)]
struct FileCounts {
    stf_registered: i64,
    stf_processed: i64,
    stf_failed: i64,
    tf_files: i64,
}

fn in_list(sql: &mut Sql, column: &str, runs: &[i64]) {
    let marks = vec!["?"; runs.len()].join(", ");
    sql.push(&format!("{column} IN ({marks})"), runs.iter().map(|r| (*r).into()));
}

/// The first log entries of ERROR and above that name the execution.
async fn logged(cx: &Cx, execution: &ExecutionRow) -> Result<Vec<Problem>, Error> {
    #[derive(Deserialize)]
    struct Entry {
        timestamp: Iso,
        message: String,
    }
    let id = cx.db.dialect().json_text("extra_data", "execution_id");
    // Agents' clocks may run a little behind the monitor's.
    let since = execution.start_time - TimeDelta::hours(1);
    let sql = Sql::new("SELECT timestamp, message FROM swf_applog WHERE level >= 40 AND timestamp >=")
        .with("?", [since.into()])
        .with(
            &format!("AND {id} = ? ORDER BY timestamp, id LIMIT 10"),
            [execution.execution_id.as_str().into()],
        );
    let entries: Vec<Entry> = cx.db.fetch_all(&sql).await?;
    Ok(entries
        .into_iter()
        .map(|e| Problem { time: e.timestamp, error: e.message, source: Some("log") })
        .collect())
}
