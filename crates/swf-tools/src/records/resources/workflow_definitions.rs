//! `/api/workflow-definitions`: workflows and their source text.

use crate::records::describe::{ALL, Field, Resource};
use crate::tables::swf_workflow_definitions;

/// The resource.
pub const RESOURCE: Resource = Resource {
    path: "workflow-definitions",
    model: "WorkflowDefinition",
    verbose: "workflow definition",
    table: &swf_workflow_definitions::TABLE,
    lookup: "id",
    fields: &[
        Field::fixed("id"),
        Field::new("workflow_name"),
        Field::new("version"),
        Field::new("workflow_type"),
        Field::new("definition"),
        Field::new("parameter_values"),
        Field::new("created_by"),
        Field::fixed("created_at"),
        Field::fixed("updated_at"),
    ],
    order: "t.id",
    filters: &[],
    methods: ALL,
    author: None,
    owned: false,
    guard: None,
};
