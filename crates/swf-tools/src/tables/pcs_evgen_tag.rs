//! `pcs_evgen_tag`. Event generation tags.

use swf_db::schema::{Column, Default, Index, Key, Kind, Table};

/// Values of `status`.
pub const STATUSES: &[&str] = &["draft", "locked"];

/// Columns of tags without category; other kinds have the same.
pub(super) const COLUMNS: &[Column] = &[
    Column::new("id", Kind::BigInt).with(Default::Identity),
    Column::new("tag_number", Kind::Integer),
    Column::new("tag_label", Kind::Varchar(10)),
    Column::new("status", Kind::Varchar(10)).with(Default::Text("draft")).one_of(STATUSES),
    Column::new("description", Kind::Text).with(Default::Text("")).blank(),
    Column::new("parameters", Kind::Json).with(Default::EmptyObject),
    Column::new("created_by", Kind::Varchar(100)),
    Column::new("created_at", Kind::Time).with(Default::Created),
    Column::new("updated_at", Kind::Time).with(Default::Updated),
];

/// The table.
pub const TABLE: Table = Table {
    name: "pcs_evgen_tag",
    columns: COLUMNS,
    primary_key: Key { name: "pcs_evgen_tag_pkey", columns: &["id"] },
    uniques: &[
        Key { name: "pcs_evgen_tag_tag_label_key", columns: &["tag_label"] },
        Key { name: "pcs_evgen_tag_tag_number_key", columns: &["tag_number"] },
    ],
    indexes: &[Index {
        name: "pcs_evgen_tag_tag_label_6c389822_like",
        columns: &["tag_label varchar_pattern_ops"],
    }],
    foreign_keys: &[],
    checks: &[],
};
