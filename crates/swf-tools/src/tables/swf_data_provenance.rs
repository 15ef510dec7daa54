//! `swf_data_provenance`. Tool calls that were given a data provenance id.

use swf_db::schema::{Column, Default, Index, Key, Kind, Table};

/// The table.
pub const TABLE: Table = Table {
    name: "swf_data_provenance",
    columns: &[
        Column::new("id", Kind::BigInt).with(Default::Identity),
        Column::new("dpid", Kind::Varchar(12)),
        Column::new("tool_name", Kind::Varchar(100)),
        Column::new("tool_args", Kind::Json).with(Default::EmptyObject),
        Column::new("created_at", Kind::Time).with(Default::Created),
    ],
    primary_key: Key { name: "swf_data_provenance_pkey", columns: &["id"] },
    uniques: &[Key { name: "swf_data_provenance_dpid_key", columns: &["dpid"] }],
    indexes: &[Index {
        name: "swf_data_provenance_dpid_7960ef28_like",
        columns: &["dpid varchar_pattern_ops"],
    }],
    foreign_keys: &[],
    checks: &[],
};
