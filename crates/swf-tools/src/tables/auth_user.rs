//! `auth_user`. Users, as Django keeps them.

use swf_db::schema::{Column, Default, Index, Key, Kind, Table};

/// The table.
pub const TABLE: Table = Table {
    name: "auth_user",
    columns: &[
        Column::new("id", Kind::Integer).with(Default::Identity),
        Column::new("password", Kind::Varchar(128)),
        Column::new("last_login", Kind::Time).or_null(),
        Column::new("is_superuser", Kind::Boolean).with(Default::Bool(false)),
        Column::new("username", Kind::Varchar(150)),
        Column::new("first_name", Kind::Varchar(150)).blank(),
        Column::new("last_name", Kind::Varchar(150)).blank(),
        Column::new("email", Kind::Varchar(254)).blank(),
        Column::new("is_staff", Kind::Boolean).with(Default::Bool(false)),
        Column::new("is_active", Kind::Boolean).with(Default::Bool(true)),
        Column::new("date_joined", Kind::Time).with(Default::Now),
    ],
    primary_key: Key { name: "auth_user_pkey", columns: &["id"] },
    uniques: &[Key { name: "auth_user_username_key", columns: &["username"] }],
    indexes: &[Index {
        name: "auth_user_username_6821ab7c_like",
        columns: &["username varchar_pattern_ops"],
    }],
    foreign_keys: &[],
    checks: &[],
};
