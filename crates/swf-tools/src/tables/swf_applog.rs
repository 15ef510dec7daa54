//! `swf_applog`. Log records of agents and of the monitor itself.

use swf_db::schema::{Column, Default, Index, Key, Kind, Table};

/// Values of `level` with their names.
pub const LEVELS: &[(i64, &str)] =
    &[(0, "NOTSET"), (10, "DEBUG"), (20, "INFO"), (30, "WARNING"), (40, "ERROR"), (50, "CRITICAL")];

/// The table.
pub const TABLE: Table = Table {
    name: "swf_applog",
    columns: &[
        Column::new("id", Kind::BigInt).with(Default::Identity),
        Column::new("app_name", Kind::Varchar(100)),
        Column::new("instance_name", Kind::Varchar(100)),
        Column::new("timestamp", Kind::Time),
        Column::new("levelname", Kind::Varchar(50)),
        Column::new("message", Kind::Text),
        Column::new("module", Kind::Varchar(255)),
        Column::new("funcname", Kind::Varchar(255)),
        Column::new("lineno", Kind::Integer),
        Column::new("process", Kind::Integer),
        Column::new("thread", Kind::BigInt),
        Column::new("extra_data", Kind::Json).or_null(),
        Column::new("level", Kind::Integer).with(Default::Int(0)),
    ],
    primary_key: Key { name: "monitor_app_applog_pkey", columns: &["id"] },
    uniques: &[],
    indexes: &[
        Index { name: "monitor_app_applog_app_name_f3a944b6", columns: &["app_name"] },
        Index {
            name: "monitor_app_applog_app_name_f3a944b6_like",
            columns: &["app_name varchar_pattern_ops"],
        },
        Index { name: "monitor_app_applog_instance_name_d5d71be2", columns: &["instance_name"] },
        Index {
            name: "monitor_app_applog_instance_name_d5d71be2_like",
            columns: &["instance_name varchar_pattern_ops"],
        },
        Index { name: "monitor_app_applog_timestamp_c45767df", columns: &["timestamp"] },
        Index { name: "swf_applog_level_45df2d72", columns: &["level"] },
        Index { name: "swf_applog_timesta_ad9cbc_idx", columns: &["timestamp", "app_name", "instance_name"] },
    ],
    foreign_keys: &[],
    checks: &[],
};
