//! `swf_persistent_state`. One row of JSON that holds the counters; see [`crate::counters`].

use swf_db::schema::{Column, Default, Key, Kind, Table};

/// The table.
pub const TABLE: Table = Table {
    name: "swf_persistent_state",
    columns: &[
        Column::new("id", Kind::Integer).with(Default::Identity),
        Column::new("state_data", Kind::Json).with(Default::EmptyObject),
        Column::new("updated_at", Kind::Time).with(Default::Updated),
    ],
    primary_key: Key { name: "swf_persistent_state_pkey", columns: &["id"] },
    uniques: &[],
    indexes: &[],
    foreign_keys: &[],
    checks: &[],
};
