//! `pcs_simu_tag`. Simulation tags.

use swf_db::schema::{Index, Key, Table};

use super::pcs_evgen_tag::COLUMNS;

/// The table.
pub const TABLE: Table = Table {
    name: "pcs_simu_tag",
    columns: COLUMNS,
    primary_key: Key { name: "pcs_simu_tag_pkey", columns: &["id"] },
    uniques: &[
        Key { name: "pcs_simu_tag_tag_label_key", columns: &["tag_label"] },
        Key { name: "pcs_simu_tag_tag_number_key", columns: &["tag_number"] },
    ],
    indexes: &[Index {
        name: "pcs_simu_tag_tag_label_b2866534_like",
        columns: &["tag_label varchar_pattern_ops"],
    }],
    foreign_keys: &[],
    checks: &[],
};
