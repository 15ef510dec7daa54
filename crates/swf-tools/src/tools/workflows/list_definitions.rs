//! `swf_list_workflow_definitions`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use swf_db::Sql;

use crate::list::{List, Listing, Order, Window, arguments};
use crate::time::Iso;
use crate::{Cx, Error, Scope, Tool, Toolset};

/// List workflow definitions by name, newest version first, with how often each was executed.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListWorkflowDefinitions {
    /// Only this type, e.g. simulation.
    pub workflow_type: Option<String>,
    /// Only definitions of this user.
    pub created_by: Option<String>,
    /// Rows at most; 100 when left out.
    pub limit: Option<i64>,
    /// From `next` of the earlier answer.
    pub cursor: Option<String>,
}

/// A version of a workflow.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DefinitionItem {
    workflow_name: String,
    version: String,
    workflow_type: String,
    description: Option<String>,
    created_by: String,
    created_at: Iso,
    execution_count: i64,
}

impl Tool for ListWorkflowDefinitions {
    const NAME: &'static str = "swf_list_workflow_definitions";
    const TITLE: &'static str = "List workflow definitions";
    const SCOPE: Scope = Scope::Read;
    const TOOLSET: Toolset = Toolset::Monitor;
    const EXAMPLE: &'static str = r#"{"workflow_type": "simulation"}"#;
    type Output = List<DefinitionItem>;

    async fn run(self, cx: &Cx) -> Result<List<DefinitionItem>, Error> {
        let dialect = cx.db.dialect();
        let mut sql = Sql::new("");
        sql.filter("d.workflow_type = ?", self.workflow_type.as_deref());
        sql.filter("d.created_by = ?", self.created_by.as_deref());
        let listing = Listing {
            cx,
            input: arguments(&self),
            select: format!(
                "d.workflow_name, d.version, d.workflow_type, {} AS description, d.created_by, d.created_at, \
                 (SELECT count(*) FROM swf_workflow_executions e WHERE e.workflow_definition_id = d.id) \
                 AS execution_count",
                dialect.json_text_in("d.parameter_values", "workflow", "description")
            ),
            from: "swf_workflow_definitions d".into(),
            conditions: sql,
            key: Order::ascending(dialect.byte_order("d.workflow_name")),
            tie: Order::descending(dialect.byte_order("d.version")),
            maximum: 100,
            window: Window::default(),
            link: cx.link("Workflow Definitions", "/workflow-definitions/", &[]),
        };
        listing.fetch().await
    }
}
