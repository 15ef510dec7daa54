//! `/api/system-state-events`: what happened in a run, in order.

use crate::records::describe::{ALL, Field, Resource};
use crate::tables::swf_system_state_events;

/// The resource.
pub const RESOURCE: Resource = Resource {
    path: "system-state-events",
    model: "SystemStateEvent",
    verbose: "system state event",
    table: &swf_system_state_events::TABLE,
    lookup: "event_id",
    fields: &[
        Field::fixed("event_id"),
        Field::new("timestamp"),
        Field::new("run_number"),
        Field::new("event_type"),
        Field::new("state"),
        Field::new("substate"),
        Field::new("event_data"),
    ],
    order: "t.event_id",
    filters: &[],
    methods: ALL,
    author: None,
    owned: false,
    guard: None,
};
