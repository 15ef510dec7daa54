//! `swf_list_workflow_monitors`

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::Sql;

use crate::list::{List, Listing, Order, arguments, window};
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// List executions of the last 24 hours, newest first, to pick one for swf_get_workflow_monitor.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListWorkflowMonitors {
    /// Started at or after this time.
    pub start_time: Option<String>,
    /// Started at or before this time.
    pub end_time: Option<String>,
    /// Rows at most; 20 when left out.
    pub limit: Option<i64>,
    /// From `next` of the earlier answer.
    pub cursor: Option<String>,
}

/// An execution in brief.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct MonitorItem {
    execution_id: String,
    status: String,
    start_time: Iso,
    end_time: Option<Iso>,
    stf_count: i64,
}

impl Tool for ListWorkflowMonitors {
    const NAME: &'static str = "swf_list_workflow_monitors";
    const TITLE: &'static str = "List workflow monitors";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = "{}";
    type Output = List<MonitorItem>;

    async fn run(self, cx: &Cx) -> Result<List<MonitorItem>, Error> {
        let day = TimeDelta::hours(24);
        let window = window(cx, self.start_time.as_deref(), self.end_time.as_deref(), Some(day))?;
        let mut sql = Sql::new("");
        sql.filter("e.start_time >= ?", window.start).filter("e.start_time <= ?", window.end);
        let dialect = cx.db.dialect();
        let number = dialect.text("r.run_number");
        let listing = Listing {
            cx,
            input: arguments(&self),
            // The files of the runs that its messages or its runner name.
            select: format!(
                "e.execution_id, e.status, e.start_time, e.end_time, (SELECT count(*) FROM swf_stf_files f \
                 WHERE f.run_id IN (SELECT r.run_id FROM swf_runs r WHERE {number} IN \
                 (SELECT m.run_id FROM swf_workflow_messages m WHERE m.execution_id = e.execution_id) \
                 OR {number} = {})) AS stf_count",
                dialect.json_text("e.performance_metrics", "run_number")
            ),
            from: "swf_workflow_executions e".into(),
            conditions: sql,
            key: Order::descending("e.start_time"),
            tie: Order::descending(dialect.byte_order("e.execution_id")),
            maximum: 20,
            window,
            link: cx.link("Executions List", "/workflow-executions/", &[]),
        };
        listing.fetch().await
    }
}
