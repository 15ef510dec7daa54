//! `/api/workflows`: the way of each super time frame file through the agents.

use crate::records::describe::{ALL, Field, Resource};
use crate::tables::swf_stf_workflows;

/// The resource.
pub const RESOURCE: Resource = Resource {
    path: "workflows",
    model: "STFWorkflow",
    verbose: "stf workflow",
    table: &swf_stf_workflows::TABLE,
    lookup: "workflow_id",
    fields: &[
        Field::fixed("workflow_id"),
        Field::new("filename"),
        Field::new("file_id"),
        Field::new("namespace"),
        Field::new("execution_id"),
        Field::new("run_id"),
        Field::new("daq_state"),
        Field::new("daq_substate"),
        Field::new("generated_time"),
        Field::new("stf_start_time"),
        Field::new("stf_end_time"),
        Field::new("current_status"),
        Field::new("current_agent"),
        Field::new("completed_at"),
        Field::new("failed_at"),
        Field::new("failure_reason"),
        Field::new("stf_metadata"),
        Field::fixed("created_at"),
        Field::fixed("updated_at"),
    ],
    order: "t.generated_time DESC, t.workflow_id DESC",
    filters: &[],
    methods: ALL,
    author: None,
    owned: false,
    guard: None,
};
