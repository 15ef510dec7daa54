//! `swf_tf_slices`. Slices of time frame files: the units of work of fast processing.

use swf_db::schema::{Column, Default, Index, Key, Kind, Table};

/// Values of `status`; the last two are final.
pub const STATUSES: &[&str] = &["queued", "processing", "completed", "failed"];

/// The table.
pub const TABLE: Table = Table {
    name: "swf_tf_slices",
    columns: &[
        Column::new("id", Kind::BigInt).with(Default::Identity),
        Column::new("slice_id", Kind::Integer),
        Column::new("tf_first", Kind::Integer),
        Column::new("tf_last", Kind::Integer),
        Column::new("tf_count", Kind::Integer),
        Column::new("tf_filename", Kind::Varchar(255)),
        Column::new("stf_filename", Kind::Varchar(255)),
        Column::new("run_number", Kind::Integer),
        Column::new("status", Kind::Varchar(20)).with(Default::Text("queued")),
        Column::new("retries", Kind::Integer).with(Default::Int(0)),
        Column::new("metadata", Kind::Json).or_null(),
        Column::new("created_at", Kind::Time).with(Default::Created),
        Column::new("updated_at", Kind::Time).with(Default::Updated),
        Column::new("assigned_worker", Kind::Varchar(255)).or_null(),
        Column::new("assigned_at", Kind::Time).or_null(),
        Column::new("completed_at", Kind::Time).or_null(),
    ],
    primary_key: Key { name: "swf_tf_slices_pkey", columns: &["id"] },
    uniques: &[Key {
        name: "swf_tf_slices_tf_filename_slice_id_2ea501ba_uniq",
        columns: &["tf_filename", "slice_id"],
    }],
    indexes: &[
        Index { name: "swf_tf_slic_run_num_783be1_idx", columns: &["run_number", "status"] },
        Index { name: "swf_tf_slic_status_a09d78_idx", columns: &["status", "created_at"] },
        Index { name: "swf_tf_slic_stf_fil_45fc7b_idx", columns: &["stf_filename", "status"] },
        Index { name: "swf_tf_slices_run_number_7f432352", columns: &["run_number"] },
        Index { name: "swf_tf_slices_stf_filename_013bb220", columns: &["stf_filename"] },
        Index {
            name: "swf_tf_slices_stf_filename_013bb220_like",
            columns: &["stf_filename varchar_pattern_ops"],
        },
        Index { name: "swf_tf_slices_tf_filename_3fa6f280", columns: &["tf_filename"] },
        Index {
            name: "swf_tf_slices_tf_filename_3fa6f280_like",
            columns: &["tf_filename varchar_pattern_ops"],
        },
    ],
    foreign_keys: &[],
    checks: &[],
};
