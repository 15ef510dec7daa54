//! `/api/workflow-messages`: messages captured from the broker.

use crate::records::describe::{ALL, Field, Resource};
use crate::tables::swf_workflow_messages;

/// The resource.
pub const RESOURCE: Resource = Resource {
    path: "workflow-messages",
    model: "WorkflowMessage",
    verbose: "workflow message",
    table: &swf_workflow_messages::TABLE,
    lookup: "message_id",
    fields: &[
        Field::fixed("message_id"),
        Field::new("message_type"),
        Field::new("request_id"),
        Field::new("sender_agent"),
        Field::new("sender_type"),
        Field::new("recipient_agent"),
        Field::new("recipient_type"),
        Field::new("namespace"),
        Field::new("execution_id"),
        Field::new("run_id"),
        Field::new("message_content"),
        Field::new("message_metadata"),
        Field::fixed("sent_at"),
        Field::new("delivered_at"),
        Field::new("acknowledged_at"),
        Field::new("is_successful"),
        Field::new("error_message"),
        Field::new("queue_name"),
        Field::new("correlation_id"),
        Field::key("workflow", "workflow_id", "swf_stf_workflows", "workflow_id"),
        Field::key("stage", "stage_id", "swf_agent_workflow_stages", "stage_id"),
    ],
    order: "t.sent_at DESC, t.message_id DESC",
    filters: &[],
    methods: ALL,
    author: None,
    owned: false,
    guard: None,
};
