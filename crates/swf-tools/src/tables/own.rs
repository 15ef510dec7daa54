//! Tables that only swf knows. Their names begin with `swfx_`, so one SQL text names them on both engines;
//! on PostgreSQL they live in the schema `swf`, which stands in the search path after `public`.

use swf_db::schema::{Change, Column, Default, Index, Key, Kind, Step, Table};

/// Messages that could not be stored or understood, with the reason.
pub const DEAD_LETTER: Table = Table {
    name: "swfx_dead_letter",
    columns: &[
        Column::new("id", Kind::BigInt).with(Default::Identity),
        Column::new("received_at", Kind::Time).with(Default::Now),
        Column::new("destination", Kind::Text),
        Column::new("reason", Kind::Text),
        Column::new("headers", Kind::Json).with(Default::EmptyObject),
        Column::new("body", Kind::Text),
    ],
    primary_key: Key { name: "swfx_dead_letter_pkey", columns: &["id"] },
    uniques: &[],
    indexes: &[Index { name: "swfx_dead_letter_received_at_idx", columns: &["received_at"] }],
    foreign_keys: &[],
    checks: &[],
};

/// Identities of the messages already captured, so that a message delivered twice is stored once.
pub const MESSAGE_UID: Table = Table {
    name: "swfx_message_uid",
    columns: &[
        Column::new("uid", Kind::Text),
        Column::new("received_at", Kind::Time).with(Default::Now),
        Column::new("message_id", Kind::Uuid).or_null(),
    ],
    primary_key: Key { name: "swfx_message_uid_pkey", columns: &["uid"] },
    uniques: &[],
    indexes: &[Index { name: "swfx_message_uid_received_at_idx", columns: &["received_at"] }],
    foreign_keys: &[],
    checks: &[],
};

/// Who called which tool, with what outcome.
pub const AUDIT: Table = Table {
    name: "swfx_audit",
    columns: &[
        Column::new("id", Kind::BigInt).with(Default::Identity),
        Column::new("at", Kind::Time).with(Default::Now),
        Column::new("caller", Kind::Text),
        Column::new("surface", Kind::Text),
        Column::new("tool", Kind::Text),
        Column::new("arguments", Kind::Json).with(Default::EmptyObject),
        Column::new("outcome", Kind::Text),
        Column::new("seconds", Kind::Double),
    ],
    primary_key: Key { name: "swfx_audit_pkey", columns: &["id"] },
    uniques: &[],
    indexes: &[
        Index { name: "swfx_audit_at_idx", columns: &["at"] },
        Index { name: "swfx_audit_tool_at_idx", columns: &["tool", "at"] },
    ],
    foreign_keys: &[],
    checks: &[],
};

/// Sessions of MCP clients; they outlive a restart of the server and are shared by its replicas.
pub const MCP_SESSION: Table = Table {
    name: "swfx_mcp_session",
    columns: &[
        Column::new("id", Kind::Text),
        Column::new("state", Kind::Json).with(Default::EmptyObject),
        Column::new("subject", Kind::Text).or_null(),
        Column::new("created_at", Kind::Time).with(Default::Created),
        Column::new("last_used_at", Kind::Time).with(Default::Now),
    ],
    primary_key: Key { name: "swfx_mcp_session_pkey", columns: &["id"] },
    uniques: &[],
    indexes: &[Index { name: "swfx_mcp_session_last_used_at_idx", columns: &["last_used_at"] }],
    foreign_keys: &[],
    checks: &[],
};

/// Work that only one of several replicas does at a time, and who does it until when.
pub const LEASE: Table = Table {
    name: "swfx_lease",
    columns: &[
        Column::new("name", Kind::Text),
        Column::new("holder", Kind::Text),
        Column::new("until", Kind::Time),
    ],
    primary_key: Key { name: "swfx_lease_pkey", columns: &["name"] },
    uniques: &[],
    indexes: &[],
    foreign_keys: &[],
    checks: &[],
};

/// What a submitted production task consisted of when it was submitted.
pub const TASK_SNAPSHOT: Table = Table {
    name: "swfx_task_snapshot",
    columns: &[
        Column::new("task_id", Kind::BigInt),
        Column::new("taken_at", Kind::Time).with(Default::Now),
        Column::new("taken_by", Kind::Text),
        Column::new("parts", Kind::Json).with(Default::EmptyObject),
    ],
    primary_key: Key { name: "swfx_task_snapshot_pkey", columns: &["task_id"] },
    uniques: &[],
    indexes: &[],
    foreign_keys: &[],
    checks: &[],
};

/// Answers of the PanDA tools that replicas share: a claim with its end while `answer` and `failure` are null.
pub const PANDA_ANSWER: Table = Table {
    name: "swfx_panda_answer",
    columns: &[
        Column::new("question", Kind::Text),
        Column::new("holder", Kind::Text),
        Column::new("until", Kind::Time),
        Column::new("made_at", Kind::Time).or_null(),
        Column::new("answer", Kind::Text).or_null(),
        Column::new("failure", Kind::Text).or_null(),
    ],
    primary_key: Key { name: "swfx_panda_answer_pkey", columns: &["question"] },
    uniques: &[],
    indexes: &[Index { name: "swfx_panda_answer_until_idx", columns: &["until"] }],
    foreign_keys: &[],
    checks: &[],
};

/// Closed hours of PanDA's archive as counts, so that weeks are not read again after a restart.
pub const PANDA_HOUR: Table = Table {
    name: "swfx_panda_hour",
    columns: &[
        Column::new("id", Kind::Text),
        Column::new("panda", Kind::Text),
        Column::new("kind", Kind::Text),
        Column::new("hour", Kind::Time),
        Column::new("made_at", Kind::Time),
        Column::new("body", Kind::Text),
    ],
    primary_key: Key { name: "swfx_panda_hour_pkey", columns: &["id"] },
    uniques: &[],
    indexes: &[Index { name: "swfx_panda_hour_panda_idx", columns: &["panda", "kind", "hour"] }],
    foreign_keys: &[],
    checks: &[],
};

/// All of them; the ledger of migrations is kept by `swf_db::migrate` itself.
pub const TABLES: &[&Table] =
    &[&DEAD_LETTER, &MESSAGE_UID, &AUDIT, &MCP_SESSION, &LEASE, &TASK_SNAPSHOT, &PANDA_ANSWER, &PANDA_HOUR];

/// What later versions added.
pub const STEPS: &[Step] = &[
    Step {
        version: 2,
        name: "leases and task snapshots",
        changes: &[Change::Table(&LEASE), Change::Table(&TASK_SNAPSHOT)],
    },
    Step {
        version: 3,
        name: "what replicas share about PanDA",
        changes: &[Change::Table(&PANDA_ANSWER), Change::Table(&PANDA_HOUR)],
    },
];
