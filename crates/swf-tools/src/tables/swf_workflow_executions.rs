//! `swf_workflow_executions`. Executions of workflows.

use swf_db::schema::{Column, Default, ForeignKey, Index, Key, Kind, OnDelete, Table};

/// Values of `status` that agents write; any text is accepted.
pub const STATUSES: &[&str] = &["pending", "running", "completed", "failed", "terminated"];

/// The table.
pub const TABLE: Table = Table {
    name: "swf_workflow_executions",
    columns: &[
        Column::new("execution_id", Kind::Varchar(100)),
        Column::new("parameter_values", Kind::Json),
        Column::new("performance_metrics", Kind::Json).or_null(),
        Column::new("status", Kind::Varchar(50)).with(Default::Text("pending")),
        Column::new("start_time", Kind::Time),
        Column::new("end_time", Kind::Time).or_null(),
        Column::new("executed_by", Kind::Varchar(100)),
        Column::new("workflow_definition_id", Kind::BigInt),
        Column::new("namespace", Kind::Varchar(100)).or_null(),
    ],
    primary_key: Key { name: "swf_workflow_executions_pkey", columns: &["execution_id"] },
    uniques: &[],
    indexes: &[
        Index {
            name: "swf_workflow_executions_execution_id_f589cde8_like",
            columns: &["execution_id varchar_pattern_ops"],
        },
        Index { name: "swf_workflow_executions_namespace_da80237b", columns: &["namespace"] },
        Index {
            name: "swf_workflow_executions_namespace_da80237b_like",
            columns: &["namespace varchar_pattern_ops"],
        },
        Index {
            name: "swf_workflow_executions_workflow_definition_id_527d2e0a",
            columns: &["workflow_definition_id"],
        },
    ],
    foreign_keys: &[ForeignKey {
        name: "swf_workflow_executi_workflow_definition__527d2e0a_fk_swf_workf",
        column: "workflow_definition_id",
        table: "swf_workflow_definitions",
        to: "id",
        on_delete: OnDelete::Cascade,
    }],
    checks: &[],
};
