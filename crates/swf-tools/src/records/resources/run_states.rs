//! `/api/run-states`: the state and the slice counts of each run.

use crate::records::describe::{ALL, Field, Resource};
use crate::tables::swf_run_state;

/// The resource.
pub const RESOURCE: Resource = Resource {
    path: "run-states",
    model: "RunState",
    verbose: "run state",
    table: &swf_run_state::TABLE,
    lookup: "run_number",
    fields: &[
        Field::new("run_number"),
        Field::new("phase"),
        Field::new("state"),
        Field::new("substate"),
        Field::new("target_worker_count"),
        Field::new("active_worker_count"),
        Field::new("stf_samples_received"),
        Field::new("slices_created"),
        Field::new("slices_queued"),
        Field::new("slices_processing"),
        Field::new("slices_completed"),
        Field::new("slices_failed"),
        Field::new("state_changed_at"),
        Field::fixed("updated_at"),
        Field::new("metadata"),
    ],
    order: "t.run_number",
    filters: &[],
    methods: ALL,
    author: None,
    owned: false,
    guard: None,
};
