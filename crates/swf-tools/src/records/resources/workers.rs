//! `/api/workers`: workers of fast processing.

use crate::records::describe::{ALL, Field, Resource};
use crate::tables::swf_workers;

/// The resource.
pub const RESOURCE: Resource = Resource {
    path: "workers",
    model: "Worker",
    verbose: "worker",
    table: &swf_workers::TABLE,
    lookup: "worker_id",
    fields: &[
        Field::new("worker_id"),
        Field::new("run_number"),
        Field::new("panda_job"),
        Field::new("location"),
        Field::new("status"),
        Field::new("current_slice_id"),
        Field::new("tf_filename"),
        Field::new("slices_completed"),
        Field::new("last_heartbeat"),
        Field::new("started_at"),
        Field::new("ended_at"),
        Field::new("metadata"),
    ],
    order: "t.started_at, t.worker_id",
    filters: &[],
    methods: ALL,
    author: None,
    owned: false,
    guard: None,
};
