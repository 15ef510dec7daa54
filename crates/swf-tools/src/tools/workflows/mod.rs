//! Workflow executions: what runs, how far it is, starting and stopping.

pub mod end;
pub mod get_execution;
pub mod list_definitions;
pub mod list_executions;
pub mod list_monitors;
pub mod monitor;
pub mod start;
pub mod stop;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use swf_db::{Json, Sql};

use crate::{Cx, Error, ToolDef};

/// The group's tools.
pub const TOOLS: &[ToolDef] = &[
    ToolDef::of::<list_definitions::ListWorkflowDefinitions>(),
    ToolDef::of::<list_executions::ListWorkflowExecutions>(),
    ToolDef::of::<get_execution::GetWorkflowExecution>(),
    ToolDef::of::<monitor::GetWorkflowMonitor>(),
    ToolDef::of::<list_monitors::ListWorkflowMonitors>(),
    ToolDef::of::<start::StartWorkflow>(),
    ToolDef::of::<stop::StopWorkflow>(),
    ToolDef::of::<end::EndExecution>(),
];

/// What an execution's status can be.
pub const STATUSES: [&str; 5] = ["pending", "running", "completed", "failed", "terminated"];

/// An execution's row.
#[derive(Debug, Deserialize)]
pub struct ExecutionRow {
    /// Key.
    pub execution_id: String,
    /// Name of its definition.
    pub workflow_name: String,
    /// Namespace.
    pub namespace: Option<String>,
    /// One of [`STATUSES`] from our agents; any text from others.
    pub status: String,
    /// Who started it.
    pub executed_by: String,
    /// When it started.
    pub start_time: DateTime<Utc>,
    /// When it ended.
    pub end_time: Option<DateTime<Utc>>,
    /// Effective configuration.
    pub parameter_values: Json,
    /// What the runner recorded of itself and the outcome.
    pub performance_metrics: Json,
}

/// One execution, or the error that says where to look.
pub async fn execution(cx: &Cx, id: &str) -> Result<ExecutionRow, Error> {
    let sql = Sql::new(
        "SELECT e.execution_id, d.workflow_name, e.namespace, e.status, e.executed_by, e.start_time, e.end_time, \
         e.parameter_values, e.performance_metrics FROM swf_workflow_executions e \
         JOIN swf_workflow_definitions d ON d.id = e.workflow_definition_id WHERE e.execution_id =",
    )
    .with("?", [id.into()]);
    cx.db
        .fetch_optional(&sql)
        .await?
        .ok_or_else(|| Error::not_found("Execution", id, "swf_list_workflow_executions lists execution ids"))
}

/// Checks a status filter; the answer is lower case.
pub fn status(given: &str) -> Result<String, Error> {
    let status = given.to_lowercase();
    if STATUSES.contains(&status.as_str()) {
        return Ok(status);
    }
    Err(Error::invalid(
        "status",
        format!("'{given}' is not a status{}", crate::args::choices(given, &STATUSES)),
    ))
}
