//! `swf_workflow_messages`. Every message of the workflow topic, as captured by the monitor.

use swf_db::schema::{Column, Default, ForeignKey, Index, Key, Kind, OnDelete, Table};

use super::swf_stf_workflows::AGENT_TYPES;

/// The table.
pub const TABLE: Table = Table {
    name: "swf_workflow_messages",
    columns: &[
        Column::new("message_id", Kind::Uuid).with(Default::RandomUuid),
        Column::new("message_type", Kind::Varchar(50)),
        Column::new("request_id", Kind::Integer).or_null(),
        Column::new("sender_agent", Kind::Varchar(100)).or_null(),
        Column::new("sender_type", Kind::Varchar(20)).or_null().one_of(AGENT_TYPES),
        Column::new("recipient_agent", Kind::Varchar(100)).or_null(),
        Column::new("recipient_type", Kind::Varchar(20)).or_null().one_of(AGENT_TYPES),
        Column::new("message_content", Kind::Json),
        Column::new("sent_at", Kind::Time).with(Default::Created),
        Column::new("delivered_at", Kind::Time).or_null(),
        Column::new("acknowledged_at", Kind::Time).or_null(),
        Column::new("is_successful", Kind::Boolean).or_null(),
        Column::new("error_message", Kind::Text).or_null(),
        Column::new("queue_name", Kind::Varchar(100)).or_null(),
        Column::new("correlation_id", Kind::Varchar(100)).or_null(),
        Column::new("stage_id", Kind::Uuid).or_null(),
        Column::new("workflow_id", Kind::Uuid).or_null(),
        Column::new("message_metadata", Kind::Json).or_null().with(Default::EmptyObject),
        Column::new("namespace", Kind::Varchar(100)).or_null(),
        Column::new("execution_id", Kind::Varchar(100)).or_null(),
        Column::new("run_id", Kind::Varchar(50)).or_null(),
    ],
    primary_key: Key { name: "swf_workflow_messages_pkey", columns: &["message_id"] },
    uniques: &[],
    indexes: &[
        Index { name: "swf_workflo_message_cb52f7_idx", columns: &["message_type", "sent_at"] },
        Index { name: "swf_workflo_namespa_5ae127_idx", columns: &["namespace", "execution_id"] },
        Index { name: "swf_workflo_namespa_dd7c26_idx", columns: &["namespace", "run_id"] },
        Index { name: "swf_workflo_sender__34fb10_idx", columns: &["sender_agent", "sent_at"] },
        Index { name: "swf_workflo_workflo_0fe275_idx", columns: &["workflow_id", "message_type"] },
        Index { name: "swf_workflow_messages_execution_id_79347dfb", columns: &["execution_id"] },
        Index {
            name: "swf_workflow_messages_execution_id_79347dfb_like",
            columns: &["execution_id varchar_pattern_ops"],
        },
        Index { name: "swf_workflow_messages_namespace_6ecc2826", columns: &["namespace"] },
        Index {
            name: "swf_workflow_messages_namespace_6ecc2826_like",
            columns: &["namespace varchar_pattern_ops"],
        },
        Index { name: "swf_workflow_messages_run_id_132ff43b", columns: &["run_id"] },
        Index {
            name: "swf_workflow_messages_run_id_132ff43b_like",
            columns: &["run_id varchar_pattern_ops"],
        },
        Index { name: "swf_workflow_messages_stage_id_221b9ea1", columns: &["stage_id"] },
        Index { name: "swf_workflow_messages_workflow_id_0515ebc8", columns: &["workflow_id"] },
    ],
    foreign_keys: &[
        ForeignKey {
            name: "swf_workflow_message_stage_id_221b9ea1_fk_swf_agent",
            column: "stage_id",
            table: "swf_agent_workflow_stages",
            to: "stage_id",
            on_delete: OnDelete::Cascade,
        },
        ForeignKey {
            name: "swf_workflow_message_workflow_id_0515ebc8_fk_swf_stf_w",
            column: "workflow_id",
            table: "swf_stf_workflows",
            to: "workflow_id",
            on_delete: OnDelete::Cascade,
        },
    ],
    checks: &[],
};
