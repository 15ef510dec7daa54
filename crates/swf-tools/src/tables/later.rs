//! Columns that databases made by an older Django lack.

use swf_db::schema::{Column, Kind, Later};

const IN_METADATA: &str = "kept in metadata";

/// Made on our own schema, not demanded of a database that Django made.
pub const LATER_COLUMNS: &[Later] = &[
    Later {
        table: "swf_stf_files",
        column: Column::new("tf_count", Kind::Integer).or_null(),
        absent: IN_METADATA,
    },
    Later {
        table: "swf_fastmon_files",
        column: Column::new("tf_first", Kind::Integer).or_null(),
        absent: IN_METADATA,
    },
    Later {
        table: "swf_fastmon_files",
        column: Column::new("tf_last", Kind::Integer).or_null(),
        absent: IN_METADATA,
    },
    Later {
        table: "swf_fastmon_files",
        column: Column::new("tf_count", Kind::Integer).or_null(),
        absent: IN_METADATA,
    },
];
