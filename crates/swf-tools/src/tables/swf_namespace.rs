//! `swf_namespace`. Namespaces: what keeps the testbeds of several users apart.

use swf_db::schema::{Column, Default, Index, Key, Kind, Table};

/// The table.
pub const TABLE: Table = Table {
    name: "swf_namespace",
    columns: &[
        Column::new("name", Kind::Varchar(100)),
        Column::new("owner", Kind::Varchar(100)),
        Column::new("description", Kind::Text).blank(),
        Column::new("metadata", Kind::Json).or_null(),
        Column::new("created_at", Kind::Time).with(Default::Created),
        Column::new("updated_at", Kind::Time).with(Default::Updated),
    ],
    primary_key: Key { name: "swf_namespace_pkey", columns: &["name"] },
    uniques: &[],
    indexes: &[Index { name: "swf_namespace_name_68e948c2_like", columns: &["name varchar_pattern_ops"] }],
    foreign_keys: &[],
    checks: &[],
};
