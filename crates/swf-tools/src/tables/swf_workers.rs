//! `swf_workers`. Fast-processing workers.

use swf_db::schema::{Column, Default, Index, Key, Kind, Table};

/// The table.
pub const TABLE: Table = Table {
    name: "swf_workers",
    columns: &[
        Column::new("worker_id", Kind::Varchar(255)),
        Column::new("run_number", Kind::Integer),
        Column::new("panda_job", Kind::Varchar(255)),
        Column::new("location", Kind::Varchar(255)),
        Column::new("status", Kind::Varchar(20)),
        Column::new("current_slice_id", Kind::Integer).or_null(),
        Column::new("tf_filename", Kind::Varchar(255)).or_null(),
        Column::new("slices_completed", Kind::Integer).with(Default::Int(0)),
        Column::new("last_heartbeat", Kind::Time).or_null(),
        Column::new("started_at", Kind::Time),
        Column::new("ended_at", Kind::Time).or_null(),
        Column::new("metadata", Kind::Json).or_null(),
    ],
    primary_key: Key { name: "swf_workers_pkey", columns: &["worker_id"] },
    uniques: &[],
    indexes: &[
        Index { name: "swf_workers_run_num_e495fa_idx", columns: &["run_number", "status"] },
        Index { name: "swf_workers_run_number_e9d22704", columns: &["run_number"] },
        Index { name: "swf_workers_worker_id_8038a022_like", columns: &["worker_id varchar_pattern_ops"] },
    ],
    foreign_keys: &[],
    checks: &[],
};
