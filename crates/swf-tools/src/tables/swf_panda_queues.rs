//! `swf_panda_queues`. PanDA queues with their configuration.

use swf_db::schema::{Column, Default, Index, Key, Kind, Table};

/// The table.
pub const TABLE: Table = Table {
    name: "swf_panda_queues",
    columns: &[
        Column::new("queue_name", Kind::Varchar(100)),
        Column::new("site", Kind::Varchar(100)).blank(),
        Column::new("status", Kind::Varchar(50)).with(Default::Text("active")),
        Column::new("queue_type", Kind::Varchar(50)).blank(),
        Column::new("config_data", Kind::Json),
        Column::new("created_at", Kind::Time).with(Default::Created),
        Column::new("updated_at", Kind::Time).with(Default::Updated),
    ],
    primary_key: Key { name: "swf_panda_queues_pkey", columns: &["queue_name"] },
    uniques: &[],
    indexes: &[Index {
        name: "swf_panda_queues_queue_name_89d1cd1f_like",
        columns: &["queue_name varchar_pattern_ops"],
    }],
    foreign_keys: &[],
    checks: &[],
};
