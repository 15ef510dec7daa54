//! `swf_agent_workflow_stages`. Stages of a path through the agents.

use swf_db::schema::{Column, Default, ForeignKey, Index, Key, Kind, OnDelete, Table};

use super::swf_stf_workflows::{AGENT_TYPES, STATUSES};

/// The table.
pub const TABLE: Table = Table {
    name: "swf_agent_workflow_stages",
    columns: &[
        Column::new("stage_id", Kind::Uuid).with(Default::RandomUuid),
        Column::new("agent_name", Kind::Varchar(100)),
        Column::new("agent_type", Kind::Varchar(20)).one_of(AGENT_TYPES),
        Column::new("status", Kind::Varchar(30)).with(Default::Text("generated")).one_of(STATUSES),
        Column::new("received_at", Kind::Time).or_null(),
        Column::new("started_at", Kind::Time).or_null(),
        Column::new("completed_at", Kind::Time).or_null(),
        Column::new("failed_at", Kind::Time).or_null(),
        Column::new("processing_time_seconds", Kind::Double).or_null(),
        Column::new("failure_reason", Kind::Text).or_null(),
        Column::new("input_message", Kind::Json).or_null(),
        Column::new("output_message", Kind::Json).or_null(),
        Column::new("stage_metadata", Kind::Json).or_null(),
        Column::new("created_at", Kind::Time).with(Default::Created),
        Column::new("updated_at", Kind::Time).with(Default::Updated),
        Column::new("workflow_id", Kind::Uuid),
    ],
    primary_key: Key { name: "swf_agent_workflow_stages_pkey", columns: &["stage_id"] },
    uniques: &[Key {
        name: "swf_agent_workflow_stage_workflow_id_agent_name_a_fc327599_uniq",
        columns: &["workflow_id", "agent_name", "agent_type"],
    }],
    indexes: &[
        Index { name: "swf_agent_w_agent_n_998699_idx", columns: &["agent_name", "status"] },
        Index { name: "swf_agent_w_receive_6c232f_idx", columns: &["received_at"] },
        Index { name: "swf_agent_w_workflo_2375d6_idx", columns: &["workflow_id", "agent_type"] },
        Index { name: "swf_agent_workflow_stages_workflow_id_060467ec", columns: &["workflow_id"] },
    ],
    foreign_keys: &[ForeignKey {
        name: "swf_agent_workflow_s_workflow_id_060467ec_fk_swf_stf_w",
        column: "workflow_id",
        table: "swf_stf_workflows",
        to: "workflow_id",
        on_delete: OnDelete::Cascade,
    }],
    checks: &[],
};
