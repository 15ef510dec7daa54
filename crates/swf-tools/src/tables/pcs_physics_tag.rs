//! `pcs_physics_tag`. Physics tags of the production configuration system.

use swf_db::schema::{Column, Default, ForeignKey, Index, Key, Kind, OnDelete, Table};

/// Values of `status`.
pub const STATUSES: &[&str] = &["draft", "locked"];

/// The table.
pub const TABLE: Table = Table {
    name: "pcs_physics_tag",
    columns: &[
        Column::new("id", Kind::BigInt).with(Default::Identity),
        Column::new("tag_number", Kind::Integer),
        Column::new("tag_label", Kind::Varchar(10)),
        Column::new("status", Kind::Varchar(10)).with(Default::Text("draft")).one_of(STATUSES),
        Column::new("description", Kind::Text).with(Default::Text("")).blank(),
        Column::new("parameters", Kind::Json).with(Default::EmptyObject),
        Column::new("created_by", Kind::Varchar(100)),
        Column::new("created_at", Kind::Time).with(Default::Created),
        Column::new("updated_at", Kind::Time).with(Default::Updated),
        Column::new("category_id", Kind::SmallInt),
    ],
    primary_key: Key { name: "pcs_physics_tag_pkey", columns: &["id"] },
    uniques: &[
        Key { name: "pcs_physics_tag_tag_label_key", columns: &["tag_label"] },
        Key { name: "pcs_physics_tag_tag_number_key", columns: &["tag_number"] },
    ],
    indexes: &[
        Index { name: "pcs_physics_tag_category_id_9a27f87a", columns: &["category_id"] },
        Index {
            name: "pcs_physics_tag_tag_label_4dfe7bd6_like",
            columns: &["tag_label varchar_pattern_ops"],
        },
    ],
    foreign_keys: &[ForeignKey {
        name: "pcs_physics_tag_category_id_9a27f87a_fk_pcs_physi",
        column: "category_id",
        table: "pcs_physics_category",
        to: "digit",
        on_delete: OnDelete::Protect,
    }],
    checks: &[],
};
