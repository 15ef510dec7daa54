//! `django_session`. Web sessions, as Django keeps them.

use swf_db::schema::{Column, Index, Key, Kind, Table};

/// The table.
pub const TABLE: Table = Table {
    name: "django_session",
    columns: &[
        Column::new("session_key", Kind::Varchar(40)),
        Column::new("session_data", Kind::Text),
        Column::new("expire_date", Kind::Time),
    ],
    primary_key: Key { name: "django_session_pkey", columns: &["session_key"] },
    uniques: &[],
    indexes: &[
        Index { name: "django_session_expire_date_a5c62663", columns: &["expire_date"] },
        Index {
            name: "django_session_session_key_c0390e0f_like",
            columns: &["session_key varchar_pattern_ops"],
        },
    ],
    foreign_keys: &[],
    checks: &[],
};
