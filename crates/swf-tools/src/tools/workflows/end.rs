//! `swf_end_execution`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use swf_db::{Sql, Tx};

use super::{ExecutionRow, monitor};
use crate::time::Iso;
use crate::tool::Hints;
use crate::{Cx, Error, Scope, Tool, Toolset, liveness};

/// Mark a stuck execution as terminated in the database, and close its runs. Sends nothing: to end one that still runs use swf_stop_workflow.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct EndExecution {
    /// The execution, still marked as running.
    pub execution_id: String,
}

/// What was changed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ended {
    success: bool,
    execution_id: String,
    old_status: String,
    new_status: &'static str,
    start_time: Iso,
    end_time: Iso,
    /// Runs of this execution that nobody had closed.
    closed_runs: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Tool for EndExecution {
    const NAME: &'static str = "swf_end_execution";
    const TITLE: &'static str = "End an execution";
    const SCOPE: Scope = Scope::Control;
    const TOOLSET: Toolset = Toolset::Control;
    const EXAMPLE: &'static str = r#"{"execution_id": "stf_datataking-torre-0001"}"#;
    const HINTS: Hints = Hints::END;
    type Output = Ended;

    async fn run(self, cx: &Cx) -> Result<Ended, Error> {
        let execution = super::execution(cx, &self.execution_id).await?;
        let (_, runs) = monitor::runs_of(cx, &execution).await?;
        let note = still_run_by(cx, &execution).await?.map(|runner| {
            format!(
                "{runner} is alive and may still run it: swf_stop_workflow ends such an execution properly"
            )
        });
        let mut tx = cx.db.begin().await?;
        let sql = Sql::new("UPDATE swf_workflow_executions SET status = 'terminated', end_time =").with(
            "? WHERE execution_id = ? AND status = 'running'",
            [cx.now.into(), self.execution_id.as_str().into()],
        );
        if tx.execute(&sql).await? == 0 {
            return Err(Error::conflict(
                format!("Execution '{}' is not running (status: {})", self.execution_id, execution.status),
                "",
            ));
        }
        let closed_runs = close(cx, &mut tx, &runs).await?;
        tx.commit().await?;
        Ok(Ended {
            success: true,
            execution_id: self.execution_id,
            old_status: execution.status,
            new_status: "terminated",
            start_time: Iso(execution.start_time),
            end_time: Iso(cx.now),
            closed_runs,
            note,
        })
    }
}

/// Ends what is still open of some runs: the runs themselves and their processing states.
async fn close(cx: &Cx, tx: &mut Tx<'_>, runs: &[i64]) -> Result<Vec<i64>, Error> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let numbers = || runs.iter().map(|r| (*r).into());
    let mut open = Sql::new("SELECT run_number FROM swf_runs");
    open.and("end_time IS NULL", []).and_in("run_number", numbers()).push("ORDER BY run_number", []);
    let open: Vec<i64> = tx.fetch_all(&open).await?;
    let mut sql = Sql::new("UPDATE swf_runs SET end_time =").with("?", [cx.now.into()]);
    sql.and("end_time IS NULL", []).and_in("run_number", numbers());
    tx.execute(&sql).await?;
    let mut sql =
        Sql::new("UPDATE swf_run_state SET phase = 'completed', state = 'ended', state_changed_at =")
            .with("?, updated_at = ?", [cx.now.into(), cx.now.into()]);
    sql.and("state <> 'ended'", []).and_in("run_number", numbers());
    tx.execute(&sql).await?;
    Ok(open)
}

/// The live DAQ simulator that recorded itself as this execution's, if there is one.
async fn still_run_by(cx: &Cx, execution: &ExecutionRow) -> Result<Option<String>, Error> {
    let Some(name) = execution.performance_metrics.0.get("runner").and_then(Value::as_str) else {
        return Ok(None);
    };
    let runner = liveness::agent(cx, name).await?.filter(|a| a.alive(cx));
    Ok(runner.map(|a| a.instance_name))
}
