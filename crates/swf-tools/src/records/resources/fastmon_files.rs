//! `/api/fastmon-files`: time frame files sampled for fast monitoring.

use swf_db::schema::Kind;

use crate::records::describe::{ALL, Field, Filter, Resource, Source};
use crate::tables::swf_fastmon_files;

/// The free document; also where the frame numbers are kept on a database that has no columns for them.
pub const METADATA: &Field = &Field::new("metadata");

/// The super time frame file, which clients name.
pub const STF_FILE: Field = Field {
    column: "stf_file_id",
    source: Source::Slug { table: "swf_stf_files", to: "file_id", slug: "stf_filename" },
    ..Field::new("stf_file")
};

/// The resource.
pub const RESOURCE: Resource = Resource {
    path: "fastmon-files",
    model: "FastMonFile",
    verbose: "fast mon file",
    table: &swf_fastmon_files::TABLE,
    lookup: "tf_file_id",
    fields: &[
        Field::fixed("tf_file_id"),
        STF_FILE,
        Field::new("tf_filename"),
        Field::new("file_size_bytes"),
        Field::new("checksum"),
        Field::new("status"),
        *METADATA,
        Field::fixed("created_at"),
        Field::fixed("updated_at"),
        Field::later("tf_first"),
        Field::later("tf_last"),
        Field::later("tf_count"),
    ],
    order: "t.created_at, t.tf_file_id",
    filters: &[
        Filter {
            name: "stf_filename",
            kind: Kind::Varchar(255),
            condition: "t.stf_file_id IN (SELECT f.file_id FROM swf_stf_files AS f WHERE f.stf_filename = ?)",
        },
        Filter {
            name: "run_number",
            kind: Kind::Integer,
            condition: "t.stf_file_id IN (SELECT f.file_id FROM swf_stf_files AS f JOIN swf_runs AS r ON r.run_id = f.run_id WHERE r.run_number = ?)",
        },
    ],
    methods: ALL,
    author: None,
    owned: false,
    guard: None,
};
