//! `authtoken_token`. Tokens of the REST interface: 40 hexadecimal digits, one per user.

use swf_db::schema::{Column, Default, ForeignKey, Index, Key, Kind, OnDelete, Table};

/// The table.
pub const TABLE: Table = Table {
    name: "authtoken_token",
    columns: &[
        Column::new("key", Kind::Varchar(40)),
        Column::new("created", Kind::Time).with(Default::Created),
        Column::new("user_id", Kind::Integer),
    ],
    primary_key: Key { name: "authtoken_token_pkey", columns: &["key"] },
    uniques: &[Key { name: "authtoken_token_user_id_key", columns: &["user_id"] }],
    indexes: &[Index { name: "authtoken_token_key_10f0b77e_like", columns: &["key varchar_pattern_ops"] }],
    foreign_keys: &[ForeignKey {
        name: "authtoken_token_user_id_35299eff_fk_auth_user_id",
        column: "user_id",
        table: "auth_user",
        to: "id",
        on_delete: OnDelete::Cascade,
    }],
    checks: &[],
};
