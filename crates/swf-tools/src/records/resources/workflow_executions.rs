//! `/api/workflow-executions`: runs of workflows.

use crate::records::describe::{ALL, Field, Resource};
use crate::tables::swf_workflow_executions;

/// The resource.
pub const RESOURCE: Resource = Resource {
    path: "workflow-executions",
    model: "WorkflowExecution",
    verbose: "workflow execution",
    table: &swf_workflow_executions::TABLE,
    lookup: "execution_id",
    fields: &[
        Field::new("execution_id"),
        Field::new("namespace"),
        Field::new("parameter_values"),
        Field::new("performance_metrics"),
        Field::new("status"),
        Field::new("start_time"),
        Field::new("end_time"),
        Field::new("executed_by"),
        Field::key("workflow_definition", "workflow_definition_id", "swf_workflow_definitions", "id"),
    ],
    order: "t.start_time DESC, t.execution_id DESC",
    filters: &[],
    methods: ALL,
    author: None,
    owned: false,
    guard: None,
};
