//! `swf_run_state`. State and counters of each run of fast processing.

use swf_db::schema::{Column, Default, Key, Kind, Table};

/// The table.
pub const TABLE: Table = Table {
    name: "swf_run_state",
    columns: &[
        Column::new("run_number", Kind::Integer),
        Column::new("phase", Kind::Varchar(20)),
        Column::new("state", Kind::Varchar(20)),
        Column::new("substate", Kind::Varchar(20)).or_null(),
        Column::new("target_worker_count", Kind::Integer),
        Column::new("active_worker_count", Kind::Integer).with(Default::Int(0)),
        Column::new("stf_samples_received", Kind::Integer).with(Default::Int(0)),
        Column::new("slices_created", Kind::Integer).with(Default::Int(0)),
        Column::new("slices_queued", Kind::Integer).with(Default::Int(0)),
        Column::new("slices_processing", Kind::Integer).with(Default::Int(0)),
        Column::new("slices_completed", Kind::Integer).with(Default::Int(0)),
        Column::new("slices_failed", Kind::Integer).with(Default::Int(0)),
        Column::new("state_changed_at", Kind::Time),
        Column::new("updated_at", Kind::Time).with(Default::Updated),
        Column::new("metadata", Kind::Json).or_null(),
    ],
    primary_key: Key { name: "swf_run_state_pkey", columns: &["run_number"] },
    uniques: &[],
    indexes: &[],
    foreign_keys: &[],
    checks: &[],
};
