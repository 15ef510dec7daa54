//! A small schema that has every kind of column and of constraint.

use swf_db::schema::{Column, Default, ForeignKey, Index, Key, Kind, OnDelete, Schema, Table};

pub const OWNER: Table = Table {
    name: "probe_owner",
    columns: &[
        Column::new("id", Kind::Integer).with(Default::Identity),
        Column::new("name", Kind::Varchar(5)),
        Column::new("counted", Kind::Integer).with(Default::Int(0)),
    ],
    primary_key: Key { name: "probe_owner_pkey", columns: &["id"] },
    uniques: &[Key { name: "probe_owner_name_key", columns: &["name"] }],
    indexes: &[Index { name: "probe_owner_name_like", columns: &["name varchar_pattern_ops"] }],
    foreign_keys: &[],
    checks: &[],
};

pub const VALUES: Table = Table {
    name: "probe_values",
    columns: &[
        Column::new("id", Kind::BigInt).with(Default::Identity),
        Column::new("truth", Kind::Boolean).or_null(),
        Column::new("small", Kind::SmallInt).or_null(),
        Column::new("whole", Kind::Integer).or_null(),
        Column::new("big", Kind::BigInt).or_null(),
        Column::new("real_number", Kind::Double).or_null(),
        Column::new("amount", Kind::Numeric(6, 2)).or_null(),
        Column::new("short", Kind::Varchar(8)).or_null(),
        Column::new("long", Kind::Text).or_null(),
        Column::new("moment", Kind::Time).or_null(),
        Column::new("uid", Kind::Uuid).or_null(),
        Column::new("document", Kind::Json).or_null(),
        Column::new("address", Kind::Inet).or_null(),
        Column::new("owner_id", Kind::Integer).or_null(),
    ],
    primary_key: Key { name: "probe_values_pkey", columns: &["id"] },
    uniques: &[],
    indexes: &[Index { name: "probe_values_moment_idx", columns: &["moment DESC", "short"] }],
    foreign_keys: &[ForeignKey {
        name: "probe_values_owner_fk",
        column: "owner_id",
        table: "probe_owner",
        to: "id",
        on_delete: OnDelete::Cascade,
    }],
    checks: &[("probe_values_big_check", "big >= 0")],
};

pub const OWN: Table = Table {
    name: "swfx_probe",
    columns: &[Column::new("id", Kind::Text)],
    primary_key: Key { name: "swfx_probe_pkey", columns: &["id"] },
    uniques: &[],
    indexes: &[],
    foreign_keys: &[],
    checks: &[],
};

pub const SCHEMA: Schema = Schema {
    tables: &[&OWNER, &VALUES],
    optional: &[],
    later: &[],
    own: &[&OWN],
    first_rows: &[],
    steps: &[],
};
