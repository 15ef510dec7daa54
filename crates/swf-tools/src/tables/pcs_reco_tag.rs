//! `pcs_reco_tag`. Reconstruction tags.

use swf_db::schema::{Index, Key, Table};

use super::pcs_evgen_tag::COLUMNS;

/// The table.
pub const TABLE: Table = Table {
    name: "pcs_reco_tag",
    columns: COLUMNS,
    primary_key: Key { name: "pcs_reco_tag_pkey", columns: &["id"] },
    uniques: &[
        Key { name: "pcs_reco_tag_tag_label_key", columns: &["tag_label"] },
        Key { name: "pcs_reco_tag_tag_number_key", columns: &["tag_number"] },
    ],
    indexes: &[Index {
        name: "pcs_reco_tag_tag_label_f816d6fe_like",
        columns: &["tag_label varchar_pattern_ops"],
    }],
    foreign_keys: &[],
    checks: &[],
};
