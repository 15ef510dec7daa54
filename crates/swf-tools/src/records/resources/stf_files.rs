//! `/api/stf-files`: super time frame files.

use swf_db::schema::Kind;

use crate::records::describe::{ALL, Field, Filter, Resource};
use crate::tables::swf_stf_files;

/// The resource.
pub const RESOURCE: Resource = Resource {
    path: "stf-files",
    model: "StfFile",
    verbose: "stf file",
    table: &swf_stf_files::TABLE,
    lookup: "file_id",
    fields: &[
        Field::fixed("file_id"),
        Field::new("machine_state"),
        Field::new("stf_filename"),
        Field::new("file_size_bytes"),
        Field::new("checksum"),
        Field::fixed("created_at"),
        Field::new("status"),
        Field::new("metadata"),
        Field::new("workflow_id"),
        Field::new("daq_state"),
        Field::new("daq_substate"),
        Field::new("workflow_status"),
        Field::key("run", "run_id", "swf_runs", "run_id"),
    ],
    order: "t.created_at, t.file_id",
    filters: &[Filter {
        name: "run_number",
        kind: Kind::Integer,
        condition: "t.run_id IN (SELECT r.run_id FROM swf_runs AS r WHERE r.run_number = ?)",
    }],
    methods: ALL,
    author: None,
    owned: false,
    guard: None,
};
