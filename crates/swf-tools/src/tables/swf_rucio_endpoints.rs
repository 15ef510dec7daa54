//! `swf_rucio_endpoints`. Rucio storage elements with their configuration.

use swf_db::schema::{Column, Default, Index, Key, Kind, Table};

/// The table.
pub const TABLE: Table = Table {
    name: "swf_rucio_endpoints",
    columns: &[
        Column::new("endpoint_name", Kind::Varchar(100)),
        Column::new("site", Kind::Varchar(100)).blank(),
        Column::new("endpoint_type", Kind::Varchar(50)).blank(),
        Column::new("is_tape", Kind::Boolean).with(Default::Bool(false)),
        Column::new("is_active", Kind::Boolean).with(Default::Bool(true)),
        Column::new("config_data", Kind::Json),
        Column::new("created_at", Kind::Time).with(Default::Created),
        Column::new("updated_at", Kind::Time).with(Default::Updated),
    ],
    primary_key: Key { name: "swf_rucio_endpoints_pkey", columns: &["endpoint_name"] },
    uniques: &[],
    indexes: &[Index {
        name: "swf_rucio_endpoints_endpoint_name_9d08136a_like",
        columns: &["endpoint_name varchar_pattern_ops"],
    }],
    foreign_keys: &[],
    checks: &[],
};
