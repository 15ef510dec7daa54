//! `swf_systemagent`. Agents: one row per instance name, kept alive by heartbeats.

use swf_db::schema::{Column, Default, Index, Key, Kind, Table};

/// Values of `status`.
pub const STATUSES: &[&str] = &["UNKNOWN", "OK", "WARNING", "ERROR", "EXITED"];

/// Values of `operational_state`.
pub const OPERATIONAL_STATES: &[&str] = &["STARTING", "READY", "PROCESSING", "EXITED"];

/// Agent types that forms and plain REST writes accept; heartbeats store any text.
pub const AGENT_TYPES: &[&str] = &[
    "daqsim",
    "data",
    "processing",
    "fastmon",
    "workflow_runner",
    "monitor",
    "sse_sender",
    "sse_receiver",
    "test",
    "other",
];

/// The table.
pub const TABLE: Table = Table {
    name: "swf_systemagent",
    columns: &[
        Column::new("id", Kind::BigInt).with(Default::Identity),
        Column::new("instance_name", Kind::Varchar(100)),
        Column::new("agent_type", Kind::Varchar(20)).one_of(AGENT_TYPES),
        Column::new("description", Kind::Text).blank(),
        Column::new("status", Kind::Varchar(10)).with(Default::Text("UNKNOWN")).one_of(STATUSES),
        Column::new("last_heartbeat", Kind::Time).or_null(),
        Column::new("agent_url", Kind::Varchar(200)).or_null(),
        Column::new("created_at", Kind::Time).with(Default::Created),
        Column::new("updated_at", Kind::Time).with(Default::Updated),
        Column::new("current_stf_count", Kind::Integer).with(Default::Int(0)),
        Column::new("last_stf_processed", Kind::Time).or_null(),
        Column::new("total_stf_processed", Kind::Integer).with(Default::Int(0)),
        Column::new("workflow_enabled", Kind::Boolean).with(Default::Bool(true)),
        Column::new("namespace", Kind::Varchar(100)).or_null(),
        Column::new("metadata", Kind::Json).or_null(),
        Column::new("hostname", Kind::Varchar(100)).or_null(),
        Column::new("operational_state", Kind::Varchar(20))
            .with(Default::Text("STARTING"))
            .one_of(OPERATIONAL_STATES),
        Column::new("pid", Kind::Integer).or_null(),
    ],
    primary_key: Key { name: "monitor_app_systemagent_pkey", columns: &["id"] },
    uniques: &[Key { name: "monitor_app_systemagent_instance_name_key", columns: &["instance_name"] }],
    indexes: &[
        Index {
            name: "monitor_app_systemagent_instance_name_fd08a097_like",
            columns: &["instance_name varchar_pattern_ops"],
        },
        Index { name: "swf_systemagent_namespace_095b5b2c", columns: &["namespace"] },
        Index {
            name: "swf_systemagent_namespace_095b5b2c_like",
            columns: &["namespace varchar_pattern_ops"],
        },
    ],
    foreign_keys: &[],
    checks: &[],
};
