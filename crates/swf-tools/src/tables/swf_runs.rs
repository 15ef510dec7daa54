//! `swf_runs`. Data-taking runs.

use swf_db::schema::{Column, Default, Key, Kind, Table};

/// The table.
pub const TABLE: Table = Table {
    name: "swf_runs",
    columns: &[
        Column::new("run_id", Kind::Integer).with(Default::Identity),
        Column::new("run_number", Kind::Integer),
        Column::new("start_time", Kind::Time),
        Column::new("end_time", Kind::Time).or_null(),
        Column::new("run_conditions", Kind::Json).or_null(),
    ],
    primary_key: Key { name: "swf_runs_pkey", columns: &["run_id"] },
    uniques: &[Key { name: "swf_runs_run_number_key", columns: &["run_number"] }],
    indexes: &[],
    foreign_keys: &[],
    checks: &[],
};
