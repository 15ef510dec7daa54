//! `swf_stf_files`. Super time frame files, registered by data agents.

use swf_db::schema::{Column, Default, ForeignKey, Index, Key, Kind, OnDelete, Table};

/// Values of `status`.
pub const STATUSES: &[&str] = &["registered", "processing", "processed", "failed", "done"];

/// The table.
pub const TABLE: Table = Table {
    name: "swf_stf_files",
    columns: &[
        Column::new("file_id", Kind::Uuid).with(Default::RandomUuid),
        Column::new("machine_state", Kind::Varchar(64)).with(Default::Text("physics")),
        Column::new("file_size_bytes", Kind::BigInt).or_null(),
        Column::new("checksum", Kind::Varchar(64)).or_null(),
        Column::new("created_at", Kind::Time).with(Default::Created),
        Column::new("status", Kind::Varchar(20)).with(Default::Text("registered")).one_of(STATUSES),
        Column::new("metadata", Kind::Json).or_null(),
        Column::new("run_id", Kind::Integer),
        Column::new("daq_state", Kind::Varchar(20)).or_null(),
        Column::new("daq_substate", Kind::Varchar(20)).or_null(),
        Column::new("workflow_id", Kind::Uuid).or_null(),
        Column::new("workflow_status", Kind::Varchar(30)).or_null(),
        Column::new("stf_filename", Kind::Varchar(255)),
    ],
    primary_key: Key { name: "swf_stf_files_pkey", columns: &["file_id"] },
    uniques: &[Key { name: "swf_stf_files_stf_filename_9d144954_uniq", columns: &["stf_filename"] }],
    indexes: &[
        Index { name: "swf_stf_files_run_id_9a2165d5", columns: &["run_id"] },
        Index {
            name: "swf_stf_files_stf_filename_9d144954_like",
            columns: &["stf_filename varchar_pattern_ops"],
        },
        Index { name: "swf_stf_files_workflow_id_055cc696", columns: &["workflow_id"] },
    ],
    foreign_keys: &[ForeignKey {
        name: "swf_stf_files_run_id_9a2165d5_fk_swf_runs_run_id",
        column: "run_id",
        table: "swf_runs",
        to: "run_id",
        on_delete: OnDelete::Cascade,
    }],
    checks: &[],
};
