//! `/api/runs`: data-taking runs.

use crate::records::describe::{ALL, Field, Resource};
use crate::tables::swf_runs;

/// The resource.
pub const RESOURCE: Resource = Resource {
    path: "runs",
    model: "Run",
    verbose: "run",
    table: &swf_runs::TABLE,
    lookup: "run_id",
    fields: &[
        Field::fixed("run_id"),
        Field::new("run_number"),
        Field::new("start_time"),
        Field::new("end_time"),
        Field::new("run_conditions"),
    ],
    order: "t.run_id",
    filters: &[],
    methods: ALL,
    author: None,
    owned: false,
    guard: None,
};
