//! `/api/subscribers`: receivers of messages.

use crate::records::describe::{ALL, Field, Resource};
use crate::tables::swf_subscribers;

/// The resource.
pub const RESOURCE: Resource = Resource {
    path: "subscribers",
    model: "Subscriber",
    verbose: "subscriber",
    table: &swf_subscribers::TABLE,
    lookup: "subscriber_id",
    fields: &[
        Field::fixed("subscriber_id"),
        Field::new("subscriber_name"),
        Field::new("fraction"),
        Field::new("description"),
        Field::new("is_active"),
        Field::fixed("created_at"),
        Field::fixed("updated_at"),
        Field::new("delivery_type"),
        Field::new("client_ip"),
        Field::new("client_location"),
        Field::new("connected_at"),
        Field::new("disconnected_at"),
        Field::new("last_activity"),
        Field::new("message_filters"),
        Field::new("messages_received"),
        Field::new("messages_sent"),
        Field::new("messages_dropped"),
    ],
    order: "t.subscriber_id",
    filters: &[],
    methods: ALL,
    author: None,
    owned: false,
    guard: None,
};
