//! `swf_fastmon_files`. Time frame files sampled from super time frames for fast monitoring.

use swf_db::schema::{Column, Default, ForeignKey, Index, Key, Kind, OnDelete, Table};

/// Values of `status`.
pub const STATUSES: &[&str] = &["registered", "processing", "processed", "failed", "done"];

/// The table.
pub const TABLE: Table = Table {
    name: "swf_fastmon_files",
    columns: &[
        Column::new("tf_file_id", Kind::Uuid).with(Default::RandomUuid),
        Column::new("tf_filename", Kind::Varchar(255)),
        Column::new("file_size_bytes", Kind::BigInt).or_null(),
        Column::new("checksum", Kind::Varchar(64)).or_null(),
        Column::new("status", Kind::Varchar(20)).with(Default::Text("registered")).one_of(STATUSES),
        Column::new("metadata", Kind::Json).or_null(),
        Column::new("created_at", Kind::Time).with(Default::Created),
        Column::new("updated_at", Kind::Time).with(Default::Updated),
        Column::new("stf_file_id", Kind::Uuid),
    ],
    primary_key: Key { name: "swf_fastmon_files_pkey", columns: &["tf_file_id"] },
    uniques: &[Key { name: "swf_fastmon_files_tf_filename_key", columns: &["tf_filename"] }],
    indexes: &[
        Index { name: "swf_fastmon_files_stf_file_id_5994a143", columns: &["stf_file_id"] },
        Index {
            name: "swf_fastmon_files_tf_filename_6b63fd23_like",
            columns: &["tf_filename varchar_pattern_ops"],
        },
    ],
    foreign_keys: &[ForeignKey {
        name: "swf_fastmon_files_stf_file_id_5994a143_fk_swf_stf_files_file_id",
        column: "stf_file_id",
        table: "swf_stf_files",
        to: "file_id",
        on_delete: OnDelete::Cascade,
    }],
    checks: &[],
};
