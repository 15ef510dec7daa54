//! `/api/workflow-stages`: what each agent did with a super time frame file.

use crate::records::describe::{ALL, Field, Resource};
use crate::tables::swf_agent_workflow_stages;

/// The resource.
pub const RESOURCE: Resource = Resource {
    path: "workflow-stages",
    model: "AgentWorkflowStage",
    verbose: "agent workflow stage",
    table: &swf_agent_workflow_stages::TABLE,
    lookup: "stage_id",
    fields: &[
        Field::fixed("stage_id"),
        Field::new("agent_name"),
        Field::new("agent_type"),
        Field::new("status"),
        Field::new("received_at"),
        Field::new("started_at"),
        Field::new("completed_at"),
        Field::new("failed_at"),
        Field::new("processing_time_seconds"),
        Field::new("failure_reason"),
        Field::new("input_message"),
        Field::new("output_message"),
        Field::new("stage_metadata"),
        Field::fixed("created_at"),
        Field::fixed("updated_at"),
        Field::key("workflow", "workflow_id", "swf_stf_workflows", "workflow_id"),
    ],
    order: "t.workflow_id, t.created_at, t.stage_id",
    filters: &[],
    methods: ALL,
    author: None,
    owned: false,
    guard: None,
};
