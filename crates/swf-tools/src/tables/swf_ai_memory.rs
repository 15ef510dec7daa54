//! `swf_ai_memory`. Dialogue of AI assistants, kept per user.

use swf_db::schema::{Column, Default, Index, Key, Kind, Table};

/// Values of `role`.
pub const ROLES: &[&str] = &["user", "assistant"];

/// The table.
pub const TABLE: Table = Table {
    name: "swf_ai_memory",
    columns: &[
        Column::new("id", Kind::Integer).with(Default::Identity),
        Column::new("username", Kind::Varchar(100)),
        Column::new("session_id", Kind::Varchar(255)),
        Column::new("role", Kind::Varchar(20)),
        Column::new("content", Kind::Text),
        Column::new("created_at", Kind::Time).with(Default::Created),
        Column::new("namespace", Kind::Varchar(100)).or_null(),
        Column::new("project_path", Kind::Varchar(500)).or_null(),
    ],
    primary_key: Key { name: "swf_ai_memory_pkey", columns: &["id"] },
    uniques: &[],
    indexes: &[
        Index { name: "swf_ai_memo_usernam_1c6539_idx", columns: &["username", "created_at DESC"] },
        Index { name: "swf_ai_memory_created_at_1c15a48a", columns: &["created_at"] },
        Index { name: "swf_ai_memory_session_id_0e2db73b", columns: &["session_id"] },
        Index {
            name: "swf_ai_memory_session_id_0e2db73b_like",
            columns: &["session_id varchar_pattern_ops"],
        },
        Index { name: "swf_ai_memory_username_ea022c5c", columns: &["username"] },
        Index { name: "swf_ai_memory_username_ea022c5c_like", columns: &["username varchar_pattern_ops"] },
    ],
    foreign_keys: &[],
    checks: &[],
};
