//! `pcs_physics_category`. Physics categories; the digit leads the numbers of their tags.

use swf_db::schema::{Column, Default, Index, Key, Kind, Table};

/// The table.
pub const TABLE: Table = Table {
    name: "pcs_physics_category",
    columns: &[
        Column::new("digit", Kind::SmallInt),
        Column::new("name", Kind::Varchar(100)),
        Column::new("description", Kind::Text).with(Default::Text("")).blank(),
        Column::new("created_by", Kind::Varchar(100)),
        Column::new("created_at", Kind::Time).with(Default::Created),
    ],
    primary_key: Key { name: "pcs_physics_category_pkey", columns: &["digit"] },
    uniques: &[Key { name: "pcs_physics_category_name_key", columns: &["name"] }],
    indexes: &[Index {
        name: "pcs_physics_category_name_e165e8ed_like",
        columns: &["name varchar_pattern_ops"],
    }],
    foreign_keys: &[],
    checks: &[("pcs_physics_category_digit_check", "digit >= 0")],
};
