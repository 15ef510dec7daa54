//! `/api/tf-slices`: slices of time frame files, the units of work of fast processing.

use swf_db::schema::Kind;

use crate::records::describe::{ALL, Field, Filter, Resource};
use crate::tables::swf_tf_slices;

/// The resource.
pub const RESOURCE: Resource = Resource {
    path: "tf-slices",
    model: "TFSlice",
    verbose: "tf slice",
    table: &swf_tf_slices::TABLE,
    lookup: "id",
    fields: &[
        Field::fixed("id"),
        Field::new("slice_id"),
        Field::new("tf_first"),
        Field::new("tf_last"),
        Field::new("tf_count"),
        Field::new("tf_filename"),
        Field::new("stf_filename"),
        Field::new("run_number"),
        Field::new("status"),
        Field::new("retries"),
        Field::new("metadata"),
        Field::fixed("created_at"),
        Field::fixed("updated_at"),
        Field::new("assigned_worker"),
        Field::new("assigned_at"),
        Field::new("completed_at"),
    ],
    order: "t.id",
    filters: &[
        Filter { name: "fastmon_file", kind: Kind::Varchar(255), condition: "t.tf_filename = ?" },
        Filter {
            name: "fastmon_file__tf_filename",
            kind: Kind::Varchar(255),
            condition: "t.tf_filename = ?",
        },
        Filter {
            name: "fastmon_file__stf_file__stf_filename",
            kind: Kind::Varchar(255),
            condition: "t.stf_filename = ?",
        },
        Filter {
            name: "fastmon_file_id",
            kind: Kind::Uuid,
            condition: "t.tf_filename IN (SELECT f.tf_filename FROM swf_fastmon_files AS f WHERE f.tf_file_id = ?)",
        },
    ],
    methods: ALL,
    author: None,
    owned: false,
    guard: None,
};
