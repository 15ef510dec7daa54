//! `swf_get_workflow_execution`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::Json;

use crate::list::Link;
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// One execution with its configuration and metrics. For its progress use swf_get_workflow_monitor.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetWorkflowExecution {
    /// As swf_list_workflow_executions gives it.
    pub execution_id: String,
}

/// An execution in full.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ExecutionDetail {
    execution_id: String,
    workflow_name: String,
    namespace: Option<String>,
    status: String,
    executed_by: String,
    start_time: Iso,
    end_time: Option<Iso>,
    parameter_values: Json,
    performance_metrics: Json,
    monitor_urls: Vec<Link>,
}

impl Tool for GetWorkflowExecution {
    const NAME: &'static str = "swf_get_workflow_execution";
    const TITLE: &'static str = "Execution detail";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"execution_id": "stf_datataking-torre-0001"}"#;
    type Output = ExecutionDetail;

    async fn run(self, cx: &Cx) -> Result<ExecutionDetail, Error> {
        let row = super::execution(cx, &self.execution_id).await?;
        Ok(ExecutionDetail {
            monitor_urls: vec![cx.link_to("Execution Detail", "/workflow-executions/", &row.execution_id)],
            execution_id: row.execution_id,
            workflow_name: row.workflow_name,
            namespace: row.namespace,
            status: row.status,
            executed_by: row.executed_by,
            start_time: Iso(row.start_time),
            end_time: row.end_time.map(Iso),
            parameter_values: row.parameter_values,
            performance_metrics: row.performance_metrics,
        })
    }
}
