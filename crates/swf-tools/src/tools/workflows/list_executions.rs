//! `swf_list_workflow_executions`

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::{Json, Sql};

use crate::detail::{Detail, Shape, Shown};
use crate::list::{List, Listing, Order, Window, arguments, window};
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// List workflow executions, newest first; the last 24 hours unless a time is given. For "what is running?" use currently_running=true.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListWorkflowExecutions {
    /// Only this namespace.
    pub namespace: Option<String>,
    /// pending, running, completed, failed or terminated.
    pub status: Option<String>,
    /// Only executions started by this user.
    pub executed_by: Option<String>,
    /// Only this workflow.
    pub workflow_name: Option<String>,
    /// True: all running ones, whatever their age.
    pub currently_running: Option<bool>,
    /// Started at or after this time.
    pub start_time: Option<String>,
    /// Started at or before this time.
    pub end_time: Option<String>,
    /// brief, normal or full.
    pub detail: Option<String>,
    /// Rows at most; 100 when left out.
    pub limit: Option<i64>,
    /// From `next` of the earlier answer.
    pub cursor: Option<String>,
}

/// An execution.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExecutionItem {
    execution_id: String,
    workflow_name: String,
    namespace: Option<String>,
    status: String,
    executed_by: String,
    start_time: Iso,
    end_time: Option<Iso>,
    parameter_values: Json,
    performance_metrics: Json,
}

const SHAPE: Shape =
    Shape { brief: &["execution_id", "status", "start_time"], full: &["performance_metrics"] };

impl Tool for ListWorkflowExecutions {
    const NAME: &'static str = "swf_list_workflow_executions";
    const TITLE: &'static str = "List workflow executions";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"currently_running": true}"#;
    type Output = List<Shown<ExecutionItem>>;

    async fn run(self, cx: &Cx) -> Result<List<Shown<ExecutionItem>>, Error> {
        let detail = Detail::of(self.detail.as_deref())?;
        let running = self.currently_running == Some(true);
        let status = self.status.as_deref().map(super::status).transpose()?;
        if running && status.as_deref().is_some_and(|s| s != "running") {
            let why = "contradicts currently_running=true; leave one of them out";
            return Err(Error::invalid("status", why));
        }
        let day = TimeDelta::hours(24);
        let given = window(cx, self.start_time.as_deref(), self.end_time.as_deref(), Some(day))?;
        let window = if running { Window::default() } else { given };
        let mut sql = Sql::new("");
        sql.filter("e.start_time >= ?", window.start).filter("e.start_time <= ?", window.end);
        sql.filter("e.namespace = ?", self.namespace.as_deref());
        sql.filter("lower(e.status) = ?", if running { Some("running") } else { status.as_deref() });
        sql.filter("e.executed_by = ?", self.executed_by.as_deref());
        sql.filter("d.workflow_name = ?", self.workflow_name.as_deref());
        let link = cx.link(
            "Executions List",
            "/workflow-executions/",
            &[
                ("namespace", self.namespace.as_deref()),
                ("status", if running { Some("running") } else { self.status.as_deref() }),
                ("executed_by", self.executed_by.as_deref()),
            ],
        );
        let listing = Listing {
            cx,
            input: arguments(&self),
            select: format!(
                "e.execution_id, d.workflow_name, e.namespace, e.status, e.executed_by, e.start_time, \
                 e.end_time, {}, {}",
                detail.column(Detail::Normal, "e.parameter_values"),
                detail.column(Detail::Full, "e.performance_metrics")
            ),
            from:
                "swf_workflow_executions e JOIN swf_workflow_definitions d ON d.id = e.workflow_definition_id"
                    .into(),
            conditions: sql,
            key: Order::descending("e.start_time"),
            tie: Order::descending(cx.db.dialect().byte_order("e.execution_id")),
            maximum: 100,
            window,
            link,
        };
        listing.fetch_with(|row: ExecutionItem| detail.show(&SHAPE, row)).await
    }
}
