//! `/api/systemagents`: agents, one row per instance name.

use crate::records::describe::{ALL, Field, Resource};
use crate::tables::swf_systemagent;

/// The resource.
pub const RESOURCE: Resource = Resource {
    path: "systemagents",
    model: "SystemAgent",
    verbose: "system agent",
    table: &swf_systemagent::TABLE,
    lookup: "id",
    fields: &[
        Field::fixed("id"),
        Field::new("instance_name"),
        Field::new("agent_type"),
        Field::new("description"),
        Field::new("status"),
        Field::new("last_heartbeat"),
        Field::new("agent_url").url(),
        Field::new("workflow_enabled"),
        Field::new("current_stf_count"),
        Field::new("total_stf_processed"),
        Field::new("last_stf_processed"),
        Field::new("pid"),
        Field::new("hostname"),
        Field::new("operational_state"),
        Field::new("namespace"),
        Field::new("metadata"),
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
