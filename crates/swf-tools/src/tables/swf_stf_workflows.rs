//! `swf_stf_workflows`. Path of one super time frame through the agents.

use swf_db::schema::{Column, Default, Index, Key, Kind, Table};

/// Values of `current_status`, also of the stages.
pub const STATUSES: &[&str] = &[
    "generated",
    "daqsim_received",
    "daqsim_processing",
    "daqsim_complete",
    "data_received",
    "data_processing",
    "data_complete",
    "processing_received",
    "processing_processing",
    "processing_complete",
    "fastmon_received",
    "fastmon_processing",
    "fastmon_complete",
    "workflow_complete",
    "failed",
];

/// Values of `current_agent`, also of stages and messages.
pub const AGENT_TYPES: &[&str] = &["daqsim", "data", "processing", "fastmon", "monitor"];

/// Values of `daq_state`.
pub const DAQ_STATES: &[&str] = &["no_beam", "beam", "run", "calib", "test"];

/// Values of `daq_substate`.
pub const DAQ_SUBSTATES: &[&str] =
    &["not_ready", "ready", "physics", "standby", "lumi", "eic", "epic", "daq", "calib"];

/// The table.
pub const TABLE: Table = Table {
    name: "swf_stf_workflows",
    columns: &[
        Column::new("workflow_id", Kind::Uuid).with(Default::RandomUuid),
        Column::new("filename", Kind::Varchar(255)),
        Column::new("file_id", Kind::Uuid).or_null(),
        Column::new("daq_state", Kind::Varchar(20)).one_of(DAQ_STATES),
        Column::new("daq_substate", Kind::Varchar(20)).one_of(DAQ_SUBSTATES),
        Column::new("generated_time", Kind::Time),
        Column::new("stf_start_time", Kind::Time),
        Column::new("stf_end_time", Kind::Time),
        Column::new("current_status", Kind::Varchar(30)).with(Default::Text("generated")).one_of(STATUSES),
        Column::new("current_agent", Kind::Varchar(20)).with(Default::Text("daqsim")).one_of(AGENT_TYPES),
        Column::new("completed_at", Kind::Time).or_null(),
        Column::new("failed_at", Kind::Time).or_null(),
        Column::new("failure_reason", Kind::Text).or_null(),
        Column::new("stf_metadata", Kind::Json).or_null(),
        Column::new("created_at", Kind::Time).with(Default::Created),
        Column::new("updated_at", Kind::Time).with(Default::Updated),
        Column::new("execution_id", Kind::Varchar(100)).or_null(),
        Column::new("namespace", Kind::Varchar(100)).or_null(),
        Column::new("run_id", Kind::Varchar(50)).or_null(),
    ],
    primary_key: Key { name: "swf_stf_workflows_pkey", columns: &["workflow_id"] },
    uniques: &[Key { name: "swf_stf_workflows_filename_key", columns: &["filename"] }],
    indexes: &[
        Index { name: "swf_stf_wor_current_2362bd_idx", columns: &["current_status", "generated_time"] },
        Index { name: "swf_stf_wor_current_b6bc73_idx", columns: &["current_agent"] },
        Index { name: "swf_stf_wor_daq_sta_d7effc_idx", columns: &["daq_state", "daq_substate"] },
        Index { name: "swf_stf_wor_namespa_22a7e6_idx", columns: &["namespace", "run_id"] },
        Index { name: "swf_stf_wor_namespa_e6efb3_idx", columns: &["namespace", "execution_id"] },
        Index { name: "swf_stf_workflows_execution_id_101eace0", columns: &["execution_id"] },
        Index {
            name: "swf_stf_workflows_execution_id_101eace0_like",
            columns: &["execution_id varchar_pattern_ops"],
        },
        Index {
            name: "swf_stf_workflows_filename_41974df2_like",
            columns: &["filename varchar_pattern_ops"],
        },
        Index { name: "swf_stf_workflows_namespace_f373e34c", columns: &["namespace"] },
        Index {
            name: "swf_stf_workflows_namespace_f373e34c_like",
            columns: &["namespace varchar_pattern_ops"],
        },
        Index { name: "swf_stf_workflows_run_id_eb2b160c", columns: &["run_id"] },
        Index { name: "swf_stf_workflows_run_id_eb2b160c_like", columns: &["run_id varchar_pattern_ops"] },
    ],
    foreign_keys: &[],
    checks: &[],
};
