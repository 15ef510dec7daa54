//! `swf_system_state_events`. Events of the life of a run, in the order they were reported.

use swf_db::schema::{Column, Default, Index, Key, Kind, Table};

/// Values of `event_type` that agents write; any text is accepted.
pub const EVENT_TYPES: &[&str] =
    &["run_imminent", "start_run", "pause_run", "resume_run", "end_run", "tf_file_processed", "slice_result"];

/// The table.
pub const TABLE: Table = Table {
    name: "swf_system_state_events",
    columns: &[
        Column::new("event_id", Kind::Integer).with(Default::Identity),
        Column::new("timestamp", Kind::Time),
        Column::new("run_number", Kind::Integer),
        Column::new("event_type", Kind::Varchar(50)),
        Column::new("state", Kind::Varchar(20)),
        Column::new("substate", Kind::Varchar(20)).or_null(),
        Column::new("event_data", Kind::Json),
    ],
    primary_key: Key { name: "swf_system_state_events_pkey", columns: &["event_id"] },
    uniques: &[],
    indexes: &[
        Index { name: "swf_system__timesta_12647a_idx", columns: &["timestamp", "run_number"] },
        Index { name: "swf_system_state_events_event_type_e0d9fd67", columns: &["event_type"] },
        Index {
            name: "swf_system_state_events_event_type_e0d9fd67_like",
            columns: &["event_type varchar_pattern_ops"],
        },
        Index { name: "swf_system_state_events_run_number_ec8a21e7", columns: &["run_number"] },
        Index { name: "swf_system_state_events_state_fe4ff0e9", columns: &["state"] },
        Index {
            name: "swf_system_state_events_state_fe4ff0e9_like",
            columns: &["state varchar_pattern_ops"],
        },
        Index { name: "swf_system_state_events_substate_62dc981d", columns: &["substate"] },
        Index {
            name: "swf_system_state_events_substate_62dc981d_like",
            columns: &["substate varchar_pattern_ops"],
        },
        Index { name: "swf_system_state_events_timestamp_54e337bf", columns: &["timestamp"] },
    ],
    foreign_keys: &[],
    checks: &[],
};
